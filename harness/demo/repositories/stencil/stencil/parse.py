"""Split a template into plain text and fields."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


class TemplateError(ValueError):
    pass


@dataclass
class Field:
    """{name=default|filter|filter:argument}"""

    name: str
    default: str | None
    filters: list


def parse(text):
    """Strings and fields in order; {{ and }} stand for single braces."""
    pieces = []
    end = 0
    for match in _TOKEN.finditer(text):
        pieces.append(text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            pieces.append(match[0][0])
        else:
            pieces.append(_parse_field(match[1]))
    pieces.append(text[end:])
    return [piece for piece in pieces if piece != ""]


def _parse_field(text):
    head, *filters = text.split("|")
    name, equals, default = head.partition("=")
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise TemplateError(f"not a name: {name!r}")
    return Field(name, default if equals else None, [_parse_filter(each) for each in filters])


def _parse_filter(text):
    name, _, argument = text.partition(":")
    return name.strip(), argument
