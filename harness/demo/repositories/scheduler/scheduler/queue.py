"""Run events in the order of their time."""

import heapq
import itertools


class Scheduler:
    """Equal times: the higher priority goes first, then the event that was added first."""

    def __init__(self):
        self.now = 0
        self._heap = []
        self._order = itertools.count()

    def __len__(self):
        """Number of events that wait; cancelled ones do not count."""
        return sum(not event.cancelled for *_, event in self._heap)

    def add(self, event):
        if event.time < self.now:
            raise ValueError(f"time {event.time} is over, it is {self.now}")
        heapq.heappush(self._heap, (event.time, -event.priority, next(self._order), event))
        return event

    def next_time(self):
        """Time of the next event, or None."""
        self._drop_cancelled()
        return self._heap[0][0] if self._heap else None

    def run_until(self, time):
        """Run all events up to and including a time; return their results."""
        results = []
        while (due := self.next_time()) is not None and due <= time:
            *_, event = heapq.heappop(self._heap)
            self.now = event.time
            results.append(event.action())
        self.now = max(self.now, time)
        return results

    def _drop_cancelled(self):
        while self._heap and self._heap[0][-1].cancelled:
            heapq.heappop(self._heap)
