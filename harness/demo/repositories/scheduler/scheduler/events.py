"""What is to be done, and when."""


class Event:
    def __init__(self, time, action, priority=0):
        self.time = time
        self.action = action
        self.priority = priority
        self.cancelled = False

    def cancel(self):
        self.cancelled = True


def every(period, action, start=0, count=None):
    """Yield events at start, start + period, ...; count of them, or without end."""
    if period <= 0:
        raise ValueError("period must be positive")
    number = 0
    while count is None or number < count:
        yield Event(start + number * period, action)
        number += 1
