"""Evaluation on software-engineering tasks: patches, judged by tests in containers."""
