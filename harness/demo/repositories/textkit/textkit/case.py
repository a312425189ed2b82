"""Convert the names of things."""

import re

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def camel_to_snake(name):
    return _BOUNDARY.sub("_", name).lower()


def snake_to_camel(name, upper=False):
    """some_name -> someName, or SomeName with upper=True. Leading underscores stay."""
    stripped = name.lstrip("_")
    prefix = name[: len(name) - len(stripped)]
    first, *rest = stripped.split("_")
    head = first.capitalize() if upper else first
    return prefix + head + "".join(part.capitalize() for part in rest)
