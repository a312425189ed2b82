"""Percentiles with linear interpolation."""


def percentile(values, percent):
    """The value below which the given percent of the values lie; 0 is the minimum, 100 the maximum."""
    if not values:
        raise ValueError("percentile of no values")
    if not 0 <= percent <= 100:
        raise ValueError(f"not between 0 and 100: {percent}")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    index = int(position)
    if index == len(ordered) - 1:
        return ordered[index]
    share = position - index
    return ordered[index] + share * (ordered[index + 1] - ordered[index])


def iqr(values):
    """Interquartile range."""
    return percentile(values, 75) - percentile(values, 25)
