"""Evaluation: attempts at tasks, their verdicts, and the report over them."""
