"""Evaluation on mathematical problems: greedy and sampled answers, compared with the reference."""
