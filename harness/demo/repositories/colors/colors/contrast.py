"""How well two colors can be told apart, as defined for web pages (WCAG 2)."""

from colors.hexcode import parse_hex


def _linear(part):
    part /= 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def luminance(color):
    """From 0 for black to 1 for white."""
    red, green, blue = map(_linear, parse_hex(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    """From 1 for equal colors to 21 for black and white, in any order."""
    dark, light = sorted([luminance(first), luminance(second)])
    return round((light + 0.05) / (dark + 0.05), 2)


def readable(background, choices=("#ffffff", "#000000")):
    """The text color that has the best contrast with the background."""
    return max(choices, key=lambda color: contrast(color, background))
