"""Sandboxes in which actions run, and verifiers of their results."""
