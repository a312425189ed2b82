from colors.contrast import contrast, luminance, readable
from colors.hexcode import InvalidColor, parse_hex, to_hex
from colors.hsl import hsl_to_rgb, rgb_to_hsl
from colors.mixing import darken, lighten, mix

__all__ = [
    "InvalidColor",
    "contrast",
    "darken",
    "hsl_to_rgb",
    "lighten",
    "luminance",
    "mix",
    "parse_hex",
    "readable",
    "rgb_to_hsl",
    "to_hex",
]
