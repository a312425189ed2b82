"""How an environment says that the fault is not the work's: the box broke, or its time is over."""


class EnvironmentFailure(Exception):
    """The engine is down, the container is gone, the disk is full, an image is missing.

    Never raised for a command that merely fails. Whoever catches it retries in a fresh box, then counts the
    instance apart; the message says what broke, where, and what to do.
    """


class BoxExpired(TimeoutError):
    """The box has lived as long as its limits allow. Whoever works in it ends with what there is.

    A TimeoutError, so that those who may not import this package can catch it.
    """


class UnusableSubmission(ValueError):
    """No patch can be made of what an agent has left, by its own doing: too large, or its box is in ruins.

    A ValueError, so that those who may not import this package can catch it.
    """
