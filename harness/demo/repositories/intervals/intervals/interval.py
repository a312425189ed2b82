"""Half-open intervals [start, end)."""


class Interval:
    def __init__(self, start, end):
        if end < start:
            raise ValueError(f"end {end} lies before start {start}")
        self.start = start
        self.end = end

    def __repr__(self):
        return f"Interval({self.start}, {self.end})"

    def __eq__(self, other):
        return isinstance(other, Interval) and (self.start, self.end) == (other.start, other.end)

    def __hash__(self):
        return hash((self.start, self.end))

    def __contains__(self, point):
        return self.start <= point < self.end

    def __len__(self):
        return self.end - self.start

    def overlaps(self, other):
        """Share at least one point; touching intervals do not."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other):
        """The common part, or None."""
        if not self.overlaps(other):
            return None
        return Interval(max(self.start, other.start), min(self.end, other.end))
