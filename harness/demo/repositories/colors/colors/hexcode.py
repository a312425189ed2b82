"""Colors as text: "#ff8000", or "#f80" for short."""

import re

_HEX = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE)


class InvalidColor(ValueError):
    pass


def parse_hex(text):
    """Red, green and blue from 0 to 255; in the short form each digit stands for two."""
    match = _HEX.fullmatch(text.strip())
    if match is None:
        raise InvalidColor(f"not a color: {text!r}")
    digits = match.group(1)
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    return tuple(int(digits[start : start + 2], 16) for start in (0, 2, 4))


def to_hex(red, green, blue):
    """The long form in lower case; numbers are rounded."""
    parts = [round(part) for part in (red, green, blue)]
    if not all(0 <= part <= 255 for part in parts):
        raise InvalidColor(f"not from 0 to 255: {parts}")
    return "#" + "".join(f"{part:02x}" for part in parts)
