"""Query strings: a=1&b=2."""

from urllib.parse import quote, unquote_plus


def parse_query(text):
    """Values by name; a name may occur several times, so each has a list."""
    values = {}
    for part in text.lstrip("?").split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        values.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return values


def build_query(values):
    """The inverse of parse_query; a plain value is taken as a list of one."""
    parts = []
    for name, items in values.items():
        for item in items if isinstance(items, list) else [items]:
            parts.append(f"{quote(name, safe='')}={quote(str(item), safe='')}")
    return "&".join(parts)
