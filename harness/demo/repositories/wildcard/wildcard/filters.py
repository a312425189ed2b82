"""Choose names with lists of patterns."""

from wildcard.engine import match


def select(names, *patterns):
    """The names that fit any of the patterns, in their order."""
    return [name for name in names if any(match(pattern, name) for pattern in patterns)]


class Filter:
    """Rules such as "*.py" and "!test_*"; the last rule that fits a name decides."""

    def __init__(self, *rules, default=False):
        self._rules = rules
        self._default = default

    def accepts(self, name):
        for rule in reversed(self._rules):
            if match(rule.removeprefix("!"), name):
                return not rule.startswith("!")
        return self._default

    def __call__(self, names):
        return [name for name in names if self.accepts(name)]
