"""Confidence intervals and tests: bootstraps over trajectories, and shares of tasks."""
