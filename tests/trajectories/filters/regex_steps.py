"""Steps of a backtracking search: Python's own patterns, run by a matcher that counts.

Timings vary on a busy machine; steps are the same everywhere.
"""

import re
from collections.abc import Callable, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # private, without types
from re import _parser  # type: ignore[attr-defined]  # private, without types
from typing import Any

Node = Any  # of re._parser, which has no types
Go = Callable[[int], bool]


class Steps:
    """A counter of the steps of ``finditer``, or with ``anchored`` of ``match``."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        parsed = _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
        self.nodes: Sequence[Node] = list(parsed)
        self.flags = pattern.flags
        self.steps = 0
        self.text = ""
        self.groups: dict[int, tuple[int, int]] = {}

    def count(self, text: str, *, anchored: bool = False) -> int:
        self.text, self.steps = text, 0
        at = 0
        while at <= len(text):
            end = self._end(self.nodes, at)
            if anchored:
                break
            at = at + 1 if end is None or end == at else end
        return self.steps

    def _end(self, nodes: Sequence[Node], at: int) -> int | None:
        ends: list[int] = []

        def take(end: int) -> bool:
            ends.append(end)
            return True

        return ends[0] if self._go(nodes, 0, at, take) else None

    def _go(self, nodes: Sequence[Node], index: int, at: int, then: Go) -> bool:
        self.steps += 1
        if index == len(nodes):
            return then(at)
        kind, value = nodes[index]
        following: Go = lambda end: self._go(nodes, index + 1, end, then)  # noqa: E731
        if _single(kind):
            return self._one(kind, value, at) and following(at + 1)
        if kind is op.AT:
            return self._at(value, at) and following(at)
        if kind is op.SUBPATTERN:
            group, _, _, inner = value

            def close(end: int) -> bool:
                if group:
                    self.groups[group] = (at, end)
                return following(end)

            return self._go(inner, 0, at, close)
        if kind is op.BRANCH:
            return any(self._go(inner, 0, at, following) for inner in value[1])
        if kind is op.GROUPREF:
            start, end = self.groups.get(value, (0, 0))
            known = self.text[start:end]
            return self.text.startswith(known, at) and following(at + len(known))
        if kind in (op.ASSERT, op.ASSERT_NOT):
            direction, inner = value
            start = at if direction > 0 else at - inner.getwidth()[0]
            found = start >= 0 and self._end(inner, start) is not None
            return found == (kind is op.ASSERT) and following(at)
        if kind in (op.MAX_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = value
            return self._repeat(kind, least, most, inner, at, following)
        raise NotImplementedError(kind)

    def _repeat(self, kind: Node, least: int, most: Node, inner: Node, at: int, following: Go) -> bool:
        if kind is op.MAX_REPEAT and not (len(inner) == 1 and _single(inner[0][0])):
            return self._nested(0, least, int(most), inner, at, following)
        ends = [at]
        while len(ends) <= int(most) and (end := self._end(inner, ends[-1])) is not None and end > ends[-1]:
            ends.append(end)
        if kind is op.POSSESSIVE_REPEAT:
            return len(ends) > least and following(ends[-1])
        return any(following(end) for end in reversed(ends[least:]))

    def _nested(self, count: int, least: int, most: int, inner: Node, at: int, following: Go) -> bool:
        """Try each way in which the body of a repeat may match, as Python would."""
        again: Go = lambda end: end > at and self._nested(count + 1, least, most, inner, end, following)  # noqa: E731
        return (count < most and self._go(inner, 0, at, again)) or (count >= least and following(at))

    def _one(self, kind: Node, value: Node, at: int) -> bool:
        if at >= len(self.text):
            return False
        self.steps += 1
        return _matcher(kind, value, self.flags).match(self.text[at]) is not None

    def _at(self, value: Node, at: int) -> bool:
        probe = {op.AT_BOUNDARY: r"\b", op.AT_BEGINNING: "^", op.AT_END: "$", op.AT_END_STRING: r"\Z"}[value]
        return re.compile(probe).match(self.text, at) is not None


def _single(kind: Node) -> bool:
    return kind in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY)


_MATCHERS: dict[Node, re.Pattern[str]] = {}


def _matcher(kind: Node, value: Node, flags: int) -> re.Pattern[str]:
    """Return Python's own pattern of one node."""
    key = (kind, str(value), flags)
    if key not in _MATCHERS:
        _MATCHERS[key] = re.compile(_source(kind, value), flags | re.DOTALL)
    return _MATCHERS[key]


def _source(kind: Node, value: Node) -> str:
    if kind is op.ANY:
        return "."
    if kind is op.IN:
        return f"[{''.join(_member(*member) for member in value)}]"
    return ("[^" if kind is op.NOT_LITERAL else "[") + re.escape(chr(value)) + "]"


def _member(kind: Node, value: Node) -> str:
    if kind is op.NEGATE:
        return "^"
    if kind is op.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    if kind is op.CATEGORY:
        names = {
            op.CATEGORY_WORD: r"\w",
            op.CATEGORY_DIGIT: r"\d",
            op.CATEGORY_SPACE: r"\s",
            op.CATEGORY_NOT_SPACE: r"\S",
        }
        return names[value]
    return re.escape(chr(value))
