"""A limit is a function that says whether to try again.

It is called with the number of failures, the seconds waited so far, and the next delay.
"""


def tries(count):
    """At most so many calls, the first one counts."""
    return lambda failures, waited, delay: failures < count


def total(seconds):
    """All waits together are at most so long."""
    return lambda failures, waited, delay: waited + delay <= seconds


def all_of(*limits):
    """Try again only if every limit allows it."""
    return lambda *state: all(limit(*state) for limit in limits)


def waits(delay, limit):
    """List of the waits when every call fails."""
    planned = []
    while True:
        failures = len(planned) + 1
        following = delay(failures)
        if not limit(failures, sum(planned), following):
            return planned
        planned.append(following)
