"""A cache whose items are good for a number of seconds."""

import time


class ExpiringCache:
    def __init__(self, seconds, clock=time.monotonic):
        self.seconds = seconds
        self._clock = clock
        self._items = {}

    def put(self, key, value):
        self._items[key] = (value, self._clock() + self.seconds)

    def get(self, key, default=None):
        if key not in self._items:
            return default
        value, deadline = self._items[key]
        if self._clock() >= deadline:
            del self._items[key]
            return default
        return value

    def purge(self):
        """Drop what has expired and return how many items that were."""
        now = self._clock()
        expired = [key for key, (_, deadline) in self._items.items() if now >= deadline]
        for key in expired:
            del self._items[key]
        return len(expired)
