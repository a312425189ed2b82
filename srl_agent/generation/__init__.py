"""Generate completions with a model in this process."""
