"""The one exception that says: the box broke, not the work in it."""


class EnvironmentFailure(Exception):
    """The engine is down, the container is gone, the disk is full, an image is missing.

    Never raised for a command that merely fails. Whoever catches it retries in a fresh box, then counts the
    instance apart; the message says what broke, where, and what to do.
    """
