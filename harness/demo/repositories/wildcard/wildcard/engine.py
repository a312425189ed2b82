"""Match a text with a shell pattern: * is any text, ? is one character, [...] is one of a set."""

from wildcard.charset import read_set

STAR = "star"
ANY = "any"


def split(pattern):
    """The parts of a pattern: STAR, ANY, or what the character must be in."""
    parts = []
    i = 0
    while i < len(pattern):
        if pattern[i] == "[":
            part, i = read_set(pattern, i)
        else:
            part = {"*": STAR, "?": ANY}.get(pattern[i], (pattern[i],))
            i += 1
        parts.append(part)
    return parts


def _fits(part, char):
    return part == ANY or (part != STAR and char in part)


def match(pattern, text):
    """Whether the pattern fits the whole text."""
    parts = split(pattern)
    p = t = 0
    star = None
    while t < len(text):
        if p < len(parts) and parts[p] == STAR:
            star, begin = p, t
            p += 1
        elif p < len(parts) and _fits(parts[p], text[t]):
            p += 1
            t += 1
        elif star is not None:
            # the last star takes one character more, and the rest is tried again from there
            begin += 1
            p, t = star + 1, begin
        else:
            return False
    return all(part == STAR for part in parts[p:])
