"""Compare two answers as mathematics: math-verify, with a relative tolerance for decimals.

math-verify rounds decimals to six places, so that 1e-9 equals 3e-8. Numbers are therefore compared here.
"""

import logging
from dataclasses import replace
from typing import TypeAlias

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Equality, Expr, Float, I, MatrixBase, UnevaluatedExpr, exp, simplify
from sympy.functions.elementary.hyperbolic import HyperbolicFunction

from environments.math.answers import AnswerStatus

Value: TypeAlias = Basic | MatrixBase

TOLERANCE = 1e-4  # relative, for decimals; as in the evaluation harness of Qwen2.5-Math
_EXACT = 1e-12  # relative, for numbers without a decimal point

_UNITS_OFF = LatexExtractionConfig()  # "10 m" is 10
_UNITS_ON = replace(_UNITS_OFF, normalization_config=replace(_UNITS_OFF.normalization_config, units=False))

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off


def compare(gold: str, answer: str) -> tuple[AnswerStatus, str]:
    r"""Compare two normalised texts; return the status and a detail for a person.

    Units are removed first; if the answers then differ, they are compared once more with what looked like a unit.

    >>> compare(r"\frac{1}{2}", "0.5")
    ('correct', '')
    """
    readings = [(_parse(gold, units), _parse(answer, units)) for units in (_UNITS_OFF, _UNITS_ON)]
    if all(wanted is None for wanted, _ in readings):
        return "unjudged", "the reference answer cannot be read as mathematics"
    pairs: list[tuple[Value, Value]] = []
    for wanted, given in readings:
        if wanted is not None and given is not None and (wanted, given) not in pairs:
            pairs.append((wanted, given))
    if not pairs:
        return "wrong", "the answer cannot be read as mathematics"
    try:
        equal = any(_equal(wanted, given) for wanted, given in pairs)
    except MemoryError:
        return "unjudged", "the comparison exceeded the memory limit"
    except Exception as error:  # sympy raises exceptions of every kind
        return "unjudged", f"{type(error).__name__} in the comparison"
    return ("correct" if equal else "wrong"), ""


def _parse(text: str, config: LatexExtractionConfig) -> Value | None:
    found = parse(f"${text}$", [config], fallback_mode="no_fallback", parsing_timeout=None)
    return next(iter(found), None)


def _equal(wanted: Value, given: Value) -> bool:
    wanted, given = _right_sides(wanted, given)
    numbers = _number(wanted), _number(given)
    if numbers[0] is not None and numbers[1] is not None and not _has_percent(wanted, given):
        decimal = wanted.has(Float) or given.has(Float)
        return abs(numbers[0] - numbers[1]) <= (TOLERANCE if decimal else _EXACT) * abs(numbers[0])
    verified = verify(wanted, given, timeout_seconds=None, raise_on_error=True)
    return bool(verified) or _equal_rewritten(wanted, given)


def _right_sides(wanted: Value, given: Value) -> tuple[Value, Value]:
    """Remove an "x =" that one of them, or both, start with."""
    if isinstance(wanted, Equality) and isinstance(given, Equality):
        same = wanted.lhs == given.lhs and wanted.lhs.is_Symbol
        return (wanted.rhs, given.rhs) if same else (wanted, given)
    if isinstance(given, Equality) and isinstance(wanted, Expr):
        return wanted, given.rhs
    if isinstance(wanted, Equality) and wanted.lhs.is_Symbol and isinstance(given, Expr):
        return wanted.rhs, given
    return wanted, given


def _number(value: Value) -> complex | None:
    """Return a finite number's value; None if it is no number, or a float cannot hold it."""
    if not isinstance(value, Expr) or not value.is_number:
        return None
    try:
        number = complex(value.doit().evalf(30))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 and (abs(number) > 1e-300 or value.is_zero) else None


def _has_percent(*values: Value) -> bool:
    return any(value.has(UnevaluatedExpr) for value in values)  # math-verify's form of n %


def _equal_rewritten(wanted: Value, given: Value) -> bool:
    """Return whether two expressions are equal with hyperbolic functions as exponentials and i the imaginary unit.

    math-verify reads i as a letter, so that 1/i is not -i. Return False if neither rewrite can make a difference.
    """
    if not isinstance(wanted, Expr) or not isinstance(given, Expr):
        return False
    units = {symbol: I for symbol in wanted.free_symbols & given.free_symbols if symbol.name == "i"}
    if not units and not (wanted.has(HyperbolicFunction) or given.has(HyperbolicFunction)):
        return False
    return bool(simplify((wanted.doit() - given.doit()).subs(units).rewrite(exp)) == 0)
