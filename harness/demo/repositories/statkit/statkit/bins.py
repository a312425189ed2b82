"""Histograms with bins of equal width."""


def histogram(values, bins, low=None, high=None):
    """Counts per bin from low to high, both included; values outside are skipped."""
    low = min(values) if low is None else low
    high = max(values) if high is None else high
    if not low < high:
        raise ValueError("low must be less than high")
    width = (high - low) / bins
    counts = [0] * bins
    for value in values:
        if low <= value <= high:
            counts[min(int((value - low) / width), bins - 1)] += 1
    return counts


def edges(bins, low, high):
    """The ends of all bins, one more than there are bins."""
    return [low + (high - low) * i / bins for i in range(bins + 1)]


def bars(counts, width=20):
    """A line of # signs per bin; the longest has the given width."""
    top = max(counts, default=0) or 1
    return ["#" * round(count * width / top) for count in counts]
