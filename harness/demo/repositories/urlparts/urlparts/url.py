"""Take a URL apart and put it together again."""

import re
from typing import NamedTuple

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORTS = {"http": 80, "https": 443, "ftp": 21}


class Url(NamedTuple):
    scheme: str = ""
    host: str = ""  # with the port, if there is one
    path: str = ""
    query: str = ""
    fragment: str = ""


def split(text):
    """The parts of a URL; a part that is missing is empty."""
    text, _, fragment = text.partition("#")
    text, _, query = text.partition("?")
    scheme = host = ""
    if match := _SCHEME.match(text):
        scheme = match.group(1).lower()
        text = text[match.end() :]
    if text.startswith("//"):
        host, slash, path = text[2:].partition("/")
        text = slash + path
    return Url(scheme, host, text, query, fragment)


def join(url):
    """The text of a Url."""
    text = f"{url.scheme}:" if url.scheme else ""
    if url.host:
        text += f"//{url.host}"
    text += url.path
    if url.query:
        text += f"?{url.query}"
    if url.fragment:
        text += f"#{url.fragment}"
    return text


def port(url):
    """The port that a Url names, or the usual one of its scheme."""
    _, colon, number = url.host.rpartition(":")
    if colon and number.isdecimal():
        return int(number)
    return _PORTS.get(url.scheme)
