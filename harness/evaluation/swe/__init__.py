"""Evaluation on software-engineering tasks: patches, verified by tests in containers."""
