from roman.arithmetic import Roman
from roman.parse import InvalidNumeral, is_numeral, parse
from roman.ranges import compress, expand, numerals
from roman.render import render

__all__ = ["InvalidNumeral", "Roman", "compress", "expand", "is_numeral", "numerals", "parse", "render"]
