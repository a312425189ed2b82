"""Filters change a value before it is written."""

from stencil.parse import TemplateError


def _cut(value, argument):
    return str(value)[: int(argument)]


def _pad(value, argument):
    return str(value).ljust(int(argument))


def _join(value, argument):
    return (argument or ", ").join(str(each) for each in value)


FILTERS = {
    "upper": lambda value, argument: str(value).upper(),
    "lower": lambda value, argument: str(value).lower(),
    "title": lambda value, argument: str(value).title(),
    "trim": lambda value, argument: str(value).strip(),
    "cut": _cut,
    "pad": _pad,
    "join": _join,
}


def apply_filters(value, filters):
    """Apply (name, argument) pairs from left to right."""
    result = value
    for name, argument in filters:
        if name not in FILTERS:
            raise TemplateError(f"unknown filter: {name!r}")
        result = FILTERS[name](result, argument)
    return result
