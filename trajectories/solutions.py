"""Written solutions -> numbered steps: ``1. **Title** body`` and its common variants."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trajectories.types import Action

STEP = "step"  # name of the action for a step of a solution

# Lines that begin a step, in the order in which they are tried. At most one space in front: a list inside a step is
# indented by more.
_MARKERS = (
    # Step 1: Title · **Step 1:** · ### Step 1. Title · ### 1. Title · **1. Title**
    re.compile(r"^ ?(?:#{1,6} *)?(?:\*\*)? ?Step +(?P<number>\d{1,4})\b[.:)]?(?P<rest>.*)$", re.MULTILINE),
    re.compile(r"^ ?(?:#{1,6} +(?:\*\*)?|\*\*) ?(?P<number>\d{1,4})[.)](?P<rest> .*)$", re.MULTILINE),
    # 1. **Title** · 1) **Title**
    re.compile(r"^ ?(?P<number>\d{1,4})[.)](?P<rest> +\*\*.*)$", re.MULTILINE),
    # 1. text
    re.compile(r"^ ?(?P<number>\d{1,4})[.)](?P<rest> .*)$", re.MULTILINE),
)
_HEADINGS, _TITLED, _NUMBERED = _MARKERS[:2], _MARKERS[2], _MARKERS[3]
_ANSWER = 200  # characters of one line that are taken for a bare answer
_BOLD_TITLE = re.compile(r"^ *\*\*(?P<title>.+?)\*\*(?P<text>.*)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class SolutionStep:
    """One step; its number is its position."""

    title: str  # one line, empty if it has none
    text: str


class NotInSteps(ValueError):
    """The error for a solution that is not a list of numbered steps; its message is the ledger's reason."""


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A solution in at least two steps."""

    preamble: str  # the text before the first step
    steps: tuple[SolutionStep, ...]


def split_solution(text: str) -> Solution:
    """Split a solution at the numbers of its steps. Text after the last step belongs to that step.

    Lists inside a step (indented by two spaces or more) are no steps, nor is an untitled list before titled steps.
    Raises NotInSteps.

    >>> split_solution("1. **Add**: 2 + 2 = 4.\\n2. **Box** It is 4.").steps[0]
    SolutionStep(title='Add', text='2 + 2 = 4.')
    """
    problem = "answer_only" if len(text) <= _ANSWER and "\n" not in text.strip() else "no_numbered_steps"
    for markers in _MARKERS:
        found = list(markers.finditer(text))
        numbers = [int(match["number"]) for match in found]
        if len(found) < 2:
            continue
        if numbers == list(range(1, len(numbers) + 1)):
            found = _with_untitled(text, found) if markers is _TITLED else found
            steps = tuple(_steps(text, found, markers))
            if not all(step.text for step in steps):
                raise NotInSteps("empty_step")
            return Solution(preamble=text[: found[0].start()].strip(), steps=steps)
        # A stricter pattern may fail where a looser one, which matches more of the lines, does not.
        problem = "numbering_restarts" if numbers.count(1) > 1 else "numbering_has_gaps"
    raise NotInSteps(problem)


def join_steps(steps: Sequence[SolutionStep], *, first: int = 1) -> str:
    """Join the steps into one text, numbered from ``first``; the inverse of :func:`split_solution`."""
    return "\n\n".join(f"{number}. {write_step(step)}" for number, step in enumerate(steps, first))


def write_step(step: SolutionStep) -> str:
    """Return ``**Title** body`` without its number; the body's further lines are indented as in a list."""
    body = re.sub(r"\n(?!\n)", "\n   ", step.text)
    return f"**{step.title}** {body}".rstrip() if step.title else body


def read_step(text: str) -> SolutionStep:
    """Read a step, with or without the indentation; the inverse of :func:`write_step`."""
    first, _, rest = text.strip().partition("\n")
    title, body = "", first
    if match := _BOLD_TITLE.match(first):
        title, body = match["title"].strip(" .:"), match["text"].lstrip(" :")
    return _step(title, _dedented(body, rest))


def _with_untitled(text: str, found: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the titled steps, with the untitled ones that continue their numbering."""
    lines = list(_NUMBERED.finditer(text))
    counted = [int(match["number"]) for match in lines] == list(range(1, len(lines) + 1))
    same = [match.start() for match in lines[: len(found)]] == [match.start() for match in found]
    return lines if counted and same else found


def _steps(text: str, found: Sequence[re.Match[str]], markers: re.Pattern[str]) -> Iterator[SolutionStep]:
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        first = match["rest"].strip()
        rest = text[match.end() + 1 : end].rstrip()
        if markers in _HEADINGS:
            yield _headed(match[0][: match.start("rest") - match.start()], first, rest)
        else:
            yield read_step(f"{first}\n{rest}" if rest else first)


def _headed(number: str, first: str, rest: str) -> SolutionStep:
    """Return the step whose first line, after its number, is a heading or begins with a bold one."""
    title, bold, after = first.partition("**")
    if bold and "**" in number:  # **Step 1: Title** text
        return _step(title.strip(" .:"), _dedented(after.lstrip(" :"), rest))
    if bold:  # Step 1: **Title** text
        return read_step(f"{first}\n{rest}")
    return _step(title.strip(" .:#") if rest else title.strip(" :#"), _dedented("", rest))


def _step(title: str, text: str) -> SolutionStep:
    """Return a step; a title without a text becomes the text."""
    return SolutionStep(title=title, text=text) if text else SolutionStep(title="", text=title)


def _dedented(first: str, rest: str) -> str:
    """Remove a list's indentation, at most three spaces, from the lines after the first."""
    lines = [re.sub(r"^ {1,3}", "", line).rstrip() for line in rest.split("\n")] if rest else []
    return "\n".join([first.strip(), *lines]).strip()


def step_action(step: SolutionStep) -> Action:
    """Return a step as the one action of a turn."""
    title = {"title": step.title} if step.title else {}
    return Action(name=STEP, arguments={**title, "text": step.text})
