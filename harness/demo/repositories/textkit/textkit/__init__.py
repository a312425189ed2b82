from textkit.align import center, right
from textkit.case import camel_to_snake, snake_to_camel
from textkit.wrap import shorten, wrap

__all__ = ["camel_to_snake", "center", "right", "shorten", "snake_to_camel", "wrap"]
