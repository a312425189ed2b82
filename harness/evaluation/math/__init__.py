"""Evaluation on mathematical problems: greedy and sampled answers."""
