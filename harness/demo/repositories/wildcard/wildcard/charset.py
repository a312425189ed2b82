"""Sets of characters: [abc], [a-z], and [!abc] for all others."""


class BadPattern(ValueError):
    pass


class CharSet:
    def __init__(self, text, negated=False):
        self._ranges = _ranges(text)
        self._negated = negated

    def __contains__(self, char):
        found = any(low <= char <= high for low, high in self._ranges)
        return found != self._negated


def _ranges(text):
    """Pairs of first and last character; a - at either end stands for itself."""
    ranges = []
    i = 0
    while i < len(text):
        if text[i + 1 : i + 2] == "-" and i + 2 < len(text):
            ranges.append((text[i], text[i + 2]))
            i += 3
        else:
            ranges.append((text[i], text[i]))
            i += 1
    return ranges


def read_set(pattern, start):
    """The set that opens at start and the position after it; a ] in the first place is a member."""
    first = start + 1
    negated = pattern[first : first + 1] == "!"
    if negated:
        first += 1
    end = pattern.find("]", first + 1)
    if end < 0:
        raise BadPattern(f"[ is never closed: {pattern!r}")
    return CharSet(pattern[first:end], negated), end + 1
