"""A set of points, kept as sorted intervals that neither overlap nor touch."""

from intervals.interval import Interval


class IntervalSet:
    def __init__(self, intervals=()):
        self._items = []
        for interval in intervals:
            self.add(interval)

    def __iter__(self):
        return iter(self._items)

    def __contains__(self, point):
        return any(point in item for item in self._items)

    def total(self):
        return sum(len(item) for item in self._items)

    def add(self, new):
        """Add an interval and merge it with those it overlaps or touches."""
        if len(new) == 0:
            return
        kept = []
        for item in self._items:
            if item.end < new.start or new.end < item.start:
                kept.append(item)
            else:
                new = Interval(min(item.start, new.start), max(item.end, new.end))
        kept.append(new)
        self._items = sorted(kept, key=lambda item: item.start)

    def remove(self, gone):
        """Take an interval out; one that only partly lies in it is cut."""
        kept = []
        for item in self._items:
            if not item.overlaps(gone):
                kept.append(item)
                continue
            if item.start < gone.start:
                kept.append(Interval(item.start, gone.start))
            if gone.end < item.end:
                kept.append(Interval(gone.end, item.end))
        self._items = kept

    def gaps(self):
        """The intervals between the first and the last one that are not covered."""
        pairs = zip(self._items, self._items[1:])
        return [Interval(left.end, right.start) for left, right in pairs]
