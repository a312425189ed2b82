"""Percent signs: a character that may not stand in a URL is written as its bytes in UTF-8."""

import re
import string

_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def quote(text, safe=""):
    """Escape all but letters, digits, -._~ and the characters in safe."""
    return "".join(char if char in _PLAIN or char in safe else _escape(char) for char in text)


def unquote(text):
    """The inverse of quote; a percent sign without two digits is left alone."""
    return _ESCAPES.sub(_unescape, text)


def _escape(char):
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8"))


def _unescape(match):
    return bytes.fromhex(match.group().replace("%", "")).decode("utf-8", "replace")
