"""Session files of command-line agents."""
