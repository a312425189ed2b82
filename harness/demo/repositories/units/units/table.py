"""The units that are known: (kind, factor to the base unit, offset)."""

UNITS = {
    "m": ("length", 1.0, 0.0),
    "km": ("length", 1000.0, 0.0),
    "cm": ("length", 0.01, 0.0),
    "inch": ("length", 0.0254, 0.0),
    "mile": ("length", 1609.344, 0.0),
    "s": ("time", 1.0, 0.0),
    "min": ("time", 60.0, 0.0),
    "h": ("time", 3600.0, 0.0),
    "K": ("temperature", 1.0, 0.0),
    "C": ("temperature", 1.0, 273.15),
    "F": ("temperature", 5 / 9, 459.67 * 5 / 9),
}

ALIASES = {"metre": "m", "meter": "m", "inches": "inch", "hour": "h", "minute": "min", "second": "s"}


class UnknownUnit(KeyError):
    pass


def lookup(name):
    """Kind, factor and offset; aliases and a plural s are understood."""
    for candidate in (name, name.removesuffix("s")):
        candidate = ALIASES.get(candidate, candidate)
        if candidate in UNITS:
            return UNITS[candidate]
    raise UnknownUnit(name)
