"""A window of fixed size that slides over numbers."""

from ringbuf.ring import Ring


def windows(values, size):
    """Each full window as a tuple."""
    ring = Ring(size)
    for value in values:
        ring.push(value)
        if len(ring) == size:
            yield tuple(ring)


def moving_average(values, size, partial=False):
    """The average of each window; with partial also those of the first windows, which are not full."""
    ring = Ring(size)
    total = 0
    averages = []
    for value in values:
        total += value - (ring.push(value) or 0)
        if partial or len(ring) == size:
            averages.append(total / len(ring))
    return averages


def moving_max(values, size):
    """The largest number of each full window."""
    return [max(window) for window in windows(values, size)]
