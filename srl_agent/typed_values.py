"""Values of settings as the types that code declares for them."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def read_value(value: object, kind: Any) -> object:
    """Return a value of a setting as its declared type: a number that was written as text becomes a number.

    Raises ValueError for a value of another type; its message ends a sentence that begins with the setting's name.

    >>> read_value("3e-4", float), read_value(8.0, int), read_value("cosine", str)
    (0.0003, 8, 'cosine')
    >>> read_value("abc", int)
    Traceback (most recent call last):
    ValueError: should be a valid integer, unable to parse string as an integer, not 'abc'
    """
    from pydantic import ValidationError  # policies and scaffolds without settings need no pydantic

    try:
        read: object = _adapter(kind).validate_python(value)
    except ValidationError as error:
        wanted = dict.fromkeys(str(e["msg"]).removeprefix("Input should be ") for e in error.errors())
        raise ValueError(f"should be {' or '.join(wanted)}, not {value!r}") from error
    if isinstance(value, bool) and type(read) in (int, float):
        raise ValueError(f"should be a number, not {value!r}")
    return read if isinstance(value, str | float) else value


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
