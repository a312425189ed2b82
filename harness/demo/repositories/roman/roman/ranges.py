"""Ranges of numerals, as in the page numbers of a preface."""

from roman.parse import parse
from roman.render import render


def numerals(first, last):
    """All numerals from first to last, both included; counts down if first is the larger one."""
    start, end = parse(first), parse(last)
    step = 1 if start <= end else -1
    return [render(number) for number in range(start, end + step, step)]


def expand(text):
    """The numerals of a text such as "I-III, V"."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += numerals(first, last or first)
    return found


def compress(texts):
    """The inverse of expand: numerals in rising order as a short text."""
    runs = []
    for number in map(parse, texts):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(
        render(start) if start == end else f"{render(start)}-{render(end)}" for start, end in runs
    )
