"""A number with a unit."""

import math

from units.convert import convert


class Quantity:
    def __init__(self, value, unit):
        self.value = value
        self.unit = unit

    def __repr__(self):
        return f"{self.value:g} {self.unit}"

    def to(self, unit):
        return Quantity(convert(self.value, self.unit, unit), unit)

    def __eq__(self, other):
        """Equal up to rounding, whatever the units are."""
        return math.isclose(self.value, other.to(self.unit).value, rel_tol=1e-9)

    def __lt__(self, other):
        return self.value < other.to(self.unit).value

    def __add__(self, other):
        """The sum has the unit of the left side."""
        return Quantity(self.value + other.to(self.unit).value, self.unit)

    def __mul__(self, number):
        return Quantity(self.value * number, self.unit)

    __rmul__ = __mul__
