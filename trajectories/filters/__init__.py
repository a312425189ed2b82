"""Filters of trajectories: they drop what should not be learned, keep it as context only, or redact it.

One file a filter. :mod:`trajectories.filters.pipeline` runs them in the requested order and accounts for the changes.
"""
