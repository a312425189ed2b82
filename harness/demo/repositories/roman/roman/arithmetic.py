"""Calculate with roman numerals."""

from functools import total_ordering

from roman.parse import parse
from roman.render import render


@total_ordering
class Roman:
    """A numeral that keeps the spelling it was made from; only the number counts in comparisons."""

    def __init__(self, text):
        self.text = text
        self.number = parse(text)

    @classmethod
    def of(cls, number):
        return cls(render(number))

    def __repr__(self):
        return f"Roman({self.text!r})"

    def __str__(self):
        return self.text

    def __eq__(self, other):
        if not isinstance(other, Roman):
            return NotImplemented
        return self.number == other.number

    def __hash__(self):
        return hash(self.number)

    def __lt__(self, other):
        return self.number < other.number

    def __add__(self, other):
        return Roman.of(self.number + other.number)

    def __sub__(self, other):
        """There is no zero: the result has to be positive."""
        return Roman.of(self.number - other.number)

    def __mul__(self, other):
        return Roman.of(self.number * other.number)
