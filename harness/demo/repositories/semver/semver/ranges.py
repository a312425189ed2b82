"""Does a version satisfy a range such as ">=1.2.0, <2.0.0" or "^1.2.0"?"""

import operator

from semver.version import Version, parse

_OPERATORS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def _caret_limit(version):
    """The first version that may break: the next one in the leftmost part that is not zero."""
    if version.major > 0:
        return version.bump("major")
    if version.minor > 0:
        return version.bump("minor")
    return version.bump("patch")


def _satisfies(version, clause):
    if clause.startswith("^"):
        low = parse(clause[1:])
        return low <= version < _caret_limit(low)
    if clause.startswith("~"):
        low = parse(clause[1:])
        return low <= version < Version(low.major, low.minor + 1)
    for sign, compare in _OPERATORS.items():
        if clause.startswith(sign):
            return compare(version, parse(clause[len(sign) :]))
    return version == parse(clause)


def matches(version, text):
    """All clauses, separated by commas, have to hold."""
    return all(_satisfies(parse(version), clause.strip()) for clause in text.split(","))
