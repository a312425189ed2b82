"""New colors from old ones; all of them are hex texts."""

from colors.hexcode import parse_hex, to_hex
from colors.hsl import hsl_to_rgb, rgb_to_hsl


def mix(first, second, share=0.5):
    """A color between two others; share is the part of the second one."""
    if not 0 <= share <= 1:
        raise ValueError("the share must be from 0 to 1")
    pairs = zip(parse_hex(first), parse_hex(second), strict=True)
    return to_hex(*(one * (1 - share) + other * share for one, other in pairs))


def lighten(color, amount):
    """Add to the lightness, which ends at 1 (white)."""
    hue, saturation, lightness = rgb_to_hsl(*parse_hex(color))
    lightness = max(0, min(1, lightness + amount))
    return to_hex(*hsl_to_rgb(hue, saturation, lightness))


def darken(color, amount):
    return lighten(color, -amount)
