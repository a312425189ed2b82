"""Fill a template with values."""

from stencil.filters import apply_filters
from stencil.parse import Field, parse


class MissingValue(KeyError):
    pass


def render(text, /, **values):
    """The text with all fields filled in."""
    pieces = parse(text)
    return "".join(_fill(piece, values) if isinstance(piece, Field) else piece for piece in pieces)


def names(text):
    """Names of all fields, each once, in the order of the text."""
    return list(dict.fromkeys(piece.name for piece in parse(text) if isinstance(piece, Field)))


def _fill(field, values):
    """A value that is missing or None is replaced by the default."""
    value = _lookup(values, field.name)
    if value is None:
        if field.default is None:
            raise MissingValue(field.name)
        value = field.default
    return str(apply_filters(value, field.filters))


def _lookup(values, path):
    """Follow a dotted name through nested dicts."""
    for part in path.split("."):
        if not isinstance(values, dict) or part not in values:
            return None
        values = values[part]
    return values
