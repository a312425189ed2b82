"""Query strings such as q=ring+buffer&page=2."""

from urlparts.quoting import quote, unquote
from urlparts.url import join, split


def _decode(text):
    """A plus sign is a space; a real plus sign is written %2B."""
    return unquote(text.replace("+", " "))


def _encode(text):
    return quote(text, safe=" ").replace(" ", "+")


def read_query(text):
    """Pairs of name and value, in their order."""
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def write_query(pairs):
    """The inverse of read_query; values may be numbers."""
    return "&".join(f"{_encode(name)}={_encode(str(value))}" for name, value in pairs)


def add_param(text, name, value):
    """The URL with one more pair at the end of its query."""
    url = split(text)
    return join(url._replace(query=write_query([*read_query(url.query), (name, value)])))
