"""Runs of scaffolds for software engineering."""
