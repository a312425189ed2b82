"""Hue in degrees, saturation and lightness from 0 to 1."""


def rgb_to_hsl(red, green, blue):
    """The hue is at least 0 and below 360; it is 0 for grey."""
    red, green, blue = red / 255, green / 255, blue / 255
    high, low = max(red, green, blue), min(red, green, blue)
    spread = high - low
    lightness = (high + low) / 2
    if spread == 0:
        return 0.0, 0.0, lightness
    if high == red:
        sector = (green - blue) / spread % 6
    elif high == green:
        sector = (blue - red) / spread + 2
    else:
        sector = (red - green) / spread + 4
    saturation = spread / (1 - abs(2 * lightness - 1))
    return sector * 60, saturation, lightness


def hsl_to_rgb(hue, saturation, lightness):
    """The inverse of rgb_to_hsl, in whole numbers; any hue is taken."""
    reach = saturation * min(lightness, 1 - lightness)

    def part(offset):
        position = (offset + hue / 30) % 12
        return round(255 * (lightness - reach * max(-1, min(position - 3, 9 - position, 1))))

    return part(0), part(8), part(4)
