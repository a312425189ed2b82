"""Models by name, and their weights."""
