"""Filters of trajectories, one a file: they drop what should not be learned, keep it as context only, or redact it."""
