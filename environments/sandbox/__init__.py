"""Containers without network in which actions run, and their results."""
