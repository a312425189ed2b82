"""A range of days, both ends included."""

from datetime import timedelta


class DateRange:
    def __init__(self, start, end):
        if end < start:
            raise ValueError("the end lies before the start")
        self.start = start
        self.end = end

    def __repr__(self):
        return f"DateRange({self.start}, {self.end})"

    def __eq__(self, other):
        return (self.start, self.end) == (other.start, other.end)

    def __contains__(self, day):
        return self.start <= day <= self.end

    def __len__(self):
        return (self.end - self.start).days + 1

    def __iter__(self):
        for offset in range(len(self)):
            yield self.start + timedelta(days=offset)

    def split(self, days):
        """Pieces of so many days; the last one may be shorter."""
        pieces = []
        start = self.start
        while start <= self.end:
            end = min(start + timedelta(days=days - 1), self.end)
            pieces.append(DateRange(start, end))
            start = end + timedelta(days=1)
        return pieces
