from units.convert import convert
from units.quantity import Quantity
from units.table import UnknownUnit, lookup

__all__ = ["Quantity", "UnknownUnit", "convert", "lookup"]
