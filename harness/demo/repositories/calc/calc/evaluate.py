"""Compute the value of an expression."""

import operator

from calc.lexer import tokenize
from calc.parser import Parser

_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "**": operator.pow,
}


def _value(tree, names):
    if isinstance(tree, tuple):
        sign, left, right = tree
        return _OPERATORS[sign](_value(left, names), _value(right, names))
    if isinstance(tree, str):
        if tree not in names:
            raise NameError(f"unknown name {tree!r}")
        return names[tree]
    return tree


def evaluate(text, **names):
    """evaluate("2 * x", x=3) is 6."""
    return _value(Parser(tokenize(text)).parse(), names)
