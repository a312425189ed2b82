"""The commands: configuration, runs, loops, reports."""
