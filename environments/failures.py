"""Exceptions for failures that are not the policy's: the sandbox broke, or its time is over."""


class EnvironmentFailure(Exception):
    """The engine is down, the container is gone, the disk is full, or an image is missing.

    Never raised for a command that merely fails. Callers retry in a fresh sandbox and then count the instance
    separately. The message says what broke, where, and what to do.
    """


class SandboxExpired(TimeoutError):
    """The sandbox has reached its time limit. A TimeoutError: packages that may not import this one can catch it."""


class UnusableSubmission(ValueError):
    """No patch can be made of the files an agent left: they are too large, or its sandbox is destroyed.

    A ValueError, so that packages that may not import this one can catch it.
    """
