"""A training run: its stages, validation, verified tasks, studies and profiles."""
