"""Which errors are worth another try."""


def on(types, but=()):
    """A test for errors of the types, except those in but; subclasses count for both."""

    def matches(error):
        return isinstance(error, types) and not isinstance(error, but)

    return matches
