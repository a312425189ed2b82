"""Numbers that describe a list of numbers."""

from collections import Counter


def mean(values):
    if not values:
        raise ValueError("mean of no values")
    return sum(values) / len(values)


def variance(values):
    """Variance of a sample, with n - 1 in the denominator."""
    if len(values) < 2:
        raise ValueError("variance needs two values")
    center = mean(values)
    return sum((value - center) ** 2 for value in values) / (len(values) - 1)


def median(values):
    """The middle value, or the mean of the two in the middle."""
    if not values:
        raise ValueError("median of no values")
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def modes(values):
    """The most frequent values, in order."""
    counts = Counter(values)
    top = max(counts.values(), default=0)
    return sorted(value for value, count in counts.items() if count == top)
