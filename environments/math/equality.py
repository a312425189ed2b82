"""Whether two answers are the same mathematics: math-verify, with a relative tolerance for decimals.

math-verify rounds decimals to six places, by which 1e-9 equals 3e-8. Numbers are therefore compared here.
"""

import logging
from dataclasses import replace
from typing import TypeAlias

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Equality, Expr, Float, I, MatrixBase, UnevaluatedExpr, exp, simplify
from sympy.functions.elementary.hyperbolic import HyperbolicFunction

from environments.math.answers import Outcome

Value: TypeAlias = Basic | MatrixBase

TOLERANCE = 1e-4  # relative, of decimals; the evaluation harness of Qwen2.5-Math has the same
_EXACT = 1e-12  # relative, of numbers without a decimal point

_UNITS_OFF = LatexExtractionConfig()  # "10 m" is 10
_UNITS_ON = replace(_UNITS_OFF, normalization_config=replace(_UNITS_OFF.normalization_config, units=False))

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own time limits are off


def judge(gold: str, answer: str) -> tuple[Outcome, str]:
    r"""The outcome for two normalised texts, and what a person should know of it.

    Units are taken off first; if that makes two answers differ, they are compared with what looked like a unit.

    >>> judge(r"\frac{1}{2}", "0.5")
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
        return "unjudged", "no judgement within the memory limit"
    except Exception as error:  # sympy raises of every kind
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
    return bool(verify(wanted, given, timeout_seconds=None, raise_on_error=True)) or _equal_rewritten(
        wanted, given
    )


def _right_sides(wanted: Value, given: Value) -> tuple[Value, Value]:
    """Both without an "x =" that one alone, or each of them, has."""
    if isinstance(wanted, Equality) and isinstance(given, Equality):
        return (
            (wanted.rhs, given.rhs) if wanted.lhs == given.lhs and wanted.lhs.is_Symbol else (wanted, given)
        )
    if isinstance(given, Equality) and isinstance(wanted, Expr):
        return wanted, given.rhs
    if isinstance(wanted, Equality) and wanted.lhs.is_Symbol and isinstance(given, Expr):
        return wanted.rhs, given
    return wanted, given


def _number(value: Value) -> complex | None:
    """A finite number's value; None for what is no number, or none that a float holds."""
    if not isinstance(value, Expr) or not value.is_number:
        return None
    try:
        number = complex(value.doit().evalf(30))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e300 and (abs(number) > 1e-300 or value.is_zero) else None


def _has_percent(*values: Value) -> bool:
    return any(value.has(UnevaluatedExpr) for value in values)  # so math-verify writes n %


def _equal_rewritten(wanted: Value, given: Value) -> bool:
    """Whether two expressions are equal with sinh and its kin written out and i the imaginary unit.

    math-verify leaves i a letter, by which 1/i is not -i. False where neither can make a difference.
    """
    if not isinstance(wanted, Expr) or not isinstance(given, Expr):
        return False
    units = {symbol: I for symbol in wanted.free_symbols & given.free_symbols if symbol.name == "i"}
    if not units and not (wanted.has(HyperbolicFunction) or given.has(HyperbolicFunction)):
        return False
    return bool(simplify((wanted.doit() - given.doit()).subs(units).rewrite(exp)) == 0)
