"""Filters over trajectories: what is not to be learned is dropped, kept as context only, or made anonymous.

A file a filter. :mod:`trajectories.filters.pipeline` runs them in the order that was asked for and accounts for it.
"""
