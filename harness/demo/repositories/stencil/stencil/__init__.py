from stencil.filters import FILTERS
from stencil.parse import Field, TemplateError, parse
from stencil.render import MissingValue, names, render

__all__ = ["FILTERS", "Field", "MissingValue", "TemplateError", "names", "parse", "render"]
