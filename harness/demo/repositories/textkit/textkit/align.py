"""Put text into a column."""


def right(text, width, fill=" "):
    return fill * (width - len(text)) + text


def center(text, width, fill=" "):
    """Center text; an odd space goes to the right side."""
    missing = max(0, width - len(text))
    left = missing // 2
    return fill * left + text + fill * (missing - left)
