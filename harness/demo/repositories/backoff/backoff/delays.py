"""A delay is a function: the seconds to wait after the n-th failure, n counts from 1."""

import math


def _positive(seconds):
    if seconds <= 0:
        raise ValueError(f"a delay must be positive: {seconds}")
    return seconds


def constant(seconds):
    _positive(seconds)
    return lambda n: seconds


def linear(first, step, limit=math.inf):
    """first, first + step, and so on, never more than the limit."""
    _positive(first)
    return lambda n: min(first + step * (n - 1), limit)


def exponential(first=1, factor=2, limit=math.inf):
    """first, first * factor, and so on, never more than the limit."""
    _positive(first)
    return lambda n: min(first * factor ** (n - 1), limit)
