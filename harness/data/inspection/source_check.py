"""Compare a store with the documents that it was made of: calls, results, reasoning, whose words and whose task."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.inspection.source_count import Count, SourceCall, Unit, count, units
from harness.data.inspection.source_marks import AGENT, OTHER, REASONING, RESULT, USER, Key, arguments_of
from harness.data.inspection.source_match import Budget, features_of, id_of, match, unit_features
from trajectories import Step, Trajectory
from trajectories.store import StoreError, parse_line, read_lines, read_trajectory
from trajectories.task_ids import task_id

# The checks, in the order of the report.
SOURCE_CHECKS = {
    "call_not_made": "each call is in the source, as often as it is kept",
    "call_lost": "each call of the source is kept, or its turn was dropped for a reason that admits of a call",
    "result_lost": "the results in the source are in observations",
    "result_misplaced": "each result is in the observation of its own call",
    "reasoning_lost": "the reasoning in the source is kept, and in no thought with its tags",
    "other_agent": "thoughts are the agent's words, and the calls of a trajectory are of one agent",
    "task": "the task is the user's words, without an example of another task",
    "instance": "an instance id names a task, not one of its rollouts",
    "twice": "a run that the source holds in two formats is kept once",
}
MEASURES = ("calls", "results", "reasoning", "prose")  # counted on both sides, with their characters
EXAMPLES = 5  # differences shown of each kind
_SOLUTIONS = frozenset({"math", "s1k"})  # their steps are parts of a text, not calls
_FEW = 0.1  # the share of results, or of reasoning, up to which missing ones are a warning
_TELLING = 8  # characters of a line, from which on it is not found by accident
_PROBE = 80  # characters of a line that is looked for
_LONG_RUN = 3  # calls, from which on two equal runs are no accident
_MARKED = re.compile(r"\[(?:PRIVATE_KEY|TOKEN|LOGIN|EMAIL|USER)\]")
_LABEL = re.compile(r"OBSERVATION:|EXECUTION RESULT of \[[^\]]*\]:|</?tool_response>")  # headings of results
_EXAMPLE = re.compile(r"-{3,} ?START OF EXAMPLE|\AHere's a running example of how to perform a task")
_PLACEHOLDER = re.compile(r"Executed \S+(?: \S+)?")  # Harbor's, for the text of a reply without text


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference between source and store."""

    check: str
    where: str
    detail: str
    violation: bool = True  # False: a warning


@dataclass(kw_only=True)
class Comparison:
    """The result for a store and its sources."""

    units: int = 0  # runs of the source that hold a call
    matched: int = 0  # trajectories whose run was found
    source: Counter[str] = field(default_factory=Counter)  # calls, results, reasoning, and characters
    kept: Counter[str] = field(default_factory=Counter)
    explained: int = 0  # calls in turns that were dropped for a reason
    differences: list[Difference] = field(default_factory=list)

    def of(self, check: str, *, violation: bool) -> list[Difference]:
        return [one for one in self.differences if one.check == check and one.violation == violation]

    def add(self, check: str, where: str, detail: str, *, violation: bool = True) -> None:
        shown = " ".join(detail.split())[:240]
        self.differences.append(Difference(check=check, where=where, detail=shown, violation=violation))


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A trajectory of the store: where it is, and its calls."""

    number: int
    offset: int
    source: str
    run: str
    calls: Counter[Key]


def compare(store: Path, sources: Sequence[Path], *, ledger: Path | None, limit: int) -> Comparison:
    """Compare a store with its sources, which are read twice, one run in memory at a time."""
    found = Comparison()
    rows = list(_rows(store, found))
    budget = Budget(ledger)
    runs = ((unit_features(unit), budget.may_be_dropped(unit.origin)) for unit in units(sources, limit))
    places = match([features_of(row.calls, [row.run]) for row in rows], runs)
    of_unit: dict[int | None, list[_Row]] = {}
    for row, place in zip(rows, places, strict=True):
        of_unit.setdefault(place, []).append(row)
    for row in of_unit.pop(None, []):
        found.add(
            "call_not_made", f"{store}:{row.number}", "no run of the source has its id or any of its calls"
        )
    found.matched = sum(map(len, of_unit.values()))
    for index, unit in enumerate(units(sources, limit)):
        if not unit.own:  # a row of ours gives its trajectory back, which has tests of its own
            _Pair(store, found, unit, of_unit.get(index, []), budget).compare()
    return found


def _rows(store: Path, found: Comparison) -> Iterator[_Row]:
    """Yield the trajectories with calls, and check what needs no source."""
    runs: dict[int, tuple[str, int]] = {}
    for line in read_lines(store):
        try:
            trajectory = parse_line(store, line) if line.text.strip() else None
        except StoreError:
            continue  # a violation of its own
        if trajectory is None or trajectory.source in _SOLUTIONS:
            continue
        where = f"{store}:{line.number}"
        if task_id(trajectory.instance_id) != trajectory.instance_id:
            found.add(
                "instance",
                where,
                f"{trajectory.instance_id} is a rollout of {task_id(trajectory.instance_id)}",
            )
        calls = list(_calls(trajectory))
        source, number = runs.setdefault(hash(tuple(calls)), (trajectory.source, line.number))
        if source != trajectory.source and len(calls) >= _LONG_RUN:
            detail = f"its calls are those of line {number}, which is read from {source}"
            found.add("twice", where, detail, violation="atif" in (source, trajectory.source))
        yield _Row(
            number=line.number,
            offset=line.offset,
            source=trajectory.source,
            run=id_of(trajectory.trajectory_id),
            calls=Counter(calls),
        )


def _calls(trajectory: Trajectory) -> Iterator[Key]:
    return (
        (action.name, arguments_of(action.arguments)) for step in trajectory.steps for action in step.actions
    )


class _Pair:
    """A run of the source and the trajectories that were made of it."""

    def __init__(
        self, store: Path, found: Comparison, unit: Unit, rows: Sequence[_Row], budget: Budget
    ) -> None:
        self.store, self.found, self.unit, self.rows, self.budget = store, found, unit, rows, budget
        self.count: Count = count(unit)
        self.made = self.count.made(rows[0].source if rows else "")

    def compare(self) -> None:
        self.found.units += bool(self.made)
        self._add(
            self.found.source,
            "calls",
            [value for call in self.made for _, value in call.key[1]],
            len(self.made),
        )
        for name, role in (("results", RESULT), ("reasoning", REASONING), ("prose", AGENT)):
            self._add(self.found.source, name, [text for text, _ in self.count.texts.get(role, ())])
        if not self.rows:
            if self.made and self.budget.take_whole(self.unit.origin):
                self.found.explained += len(self.made)
            else:
                self._lost(self.made)
            return
        dropped = self.budget.left(self.unit.origin)
        self._calls()
        for row in self.rows:
            self._not_made(row)
            self._one_agent(row)
        trajectories = [
            read_trajectory(self.store, number=row.number, offset=row.offset) for row in self.rows
        ]
        steps = [step for trajectory in trajectories for step in trajectory.steps]
        prompts = [str(part) for one in trajectories for part in (one.task, one.metadata.get("prompt", ""))]
        observed = "\n".join([*(step.observation for step in steps), *prompts])
        thought = "\n".join(part for step in steps for part in (step.thought, step.reasoning))
        self._texts("result_lost", "results", RESULT, observed, dropped)
        self._places(steps)
        self._texts("reasoning_lost", "texts of reasoning", REASONING, thought, dropped)
        self._kept(steps)
        for row, trajectory in zip(self.rows, trajectories, strict=True):
            self._words(f"{self.store}:{row.number}", trajectory)

    def _add(self, to: Counter[str], name: str, texts: Sequence[str], number: int | None = None) -> None:
        to[name] += len(texts) if number is None else number
        to[f"{name}, characters"] += sum(map(len, texts))

    def _kept(self, steps: Sequence[Step]) -> None:
        actions = [action for step in steps for action in step.actions]
        values = [value for action in actions for _, value in arguments_of(action.arguments)]
        self._add(self.found.kept, "calls", values, len(actions))
        self._add(self.found.kept, "results", [step.observation for step in steps if step.observation])
        self._add(self.found.kept, "reasoning", [step.reasoning for step in steps if step.reasoning])
        prose = [step.thought for step in steps if step.thought not in ("", step.reasoning)]
        self._add(self.found.kept, "prose", prose)

    def _calls(self) -> None:
        kept: Counter[Key] = sum((row.calls for row in self.rows), Counter())
        known = {call.key for call in self.made}
        loose = [key for key in kept if key not in known]
        missing = Counter(call.key for call in self.made if call.sound) - kept
        lost = []
        for call in reversed(self.made):
            if missing[call.key] > 0:
                missing[call.key] -= 1
                if not any(_is_part(key, call.key) for key in loose):
                    lost.append(call)
        self._lost(lost[::-1])

    def _lost(self, lost: Sequence[SourceCall]) -> None:
        """Report the calls of lost replies, except of as many as were dropped for a reason."""
        replies: dict[str, list[SourceCall]] = {}
        for call in lost:
            replies.setdefault(call.reply or call.where, []).append(call)
        explained = self.budget.take(self.unit.origin, len(replies)) if replies else 0
        for number, calls in enumerate(replies.values(), 1):
            if number > len(replies) - explained:
                self.found.explained += len(calls)
                continue
            for call in calls:
                self.found.add("call_lost", call.where, f"{_shown(call.key)} is in no trajectory")

    def _not_made(self, row: _Row) -> None:
        limits = Counter(call.key for call in self.made)
        for call in self.made:  # an id used anew, with a result each time, is a call each time
            limits[call.key] += max(self.count.answers[call.call_id or ""] - 1, 0)
        for key, times in (row.calls - limits).items():
            if any(key != call.key and _is_part(key, call.key) for call in self.made):
                continue
            how = (
                f"is kept {times} times more than the source has it"
                if limits[key]
                else "is not in the source"
            )
            detail = f"{_shown(key)} {how} ({self.unit.documents[0].position})"
            readable = limits[key] > 0 or not self.count.unread
            self.found.add("call_not_made", f"{self.store}:{row.number}", detail, violation=readable)

    def _one_agent(self, row: _Row) -> None:
        owners: dict[Key, dict[str, SourceCall]] = {}
        for call in self.made:
            owners.setdefault(call.key, {})[call.owner] = call
        sure = {
            owner: call
            for key in row.calls
            if len(found := owners.get(key, {})) == 1
            for owner, call in found.items()
        }
        if len(sure) > 1:
            main, other = list(sure.values())[:2]
            detail = f"{_shown(main.key)} and {_shown(other.key)} are calls of two agents ({main.where}, {other.where})"
            self.found.add("other_agent", f"{self.store}:{row.number}", detail)

    def _texts(self, check: str, name: str, role: str, kept: str, dropped: int) -> None:
        """Look for the longest line of each text of the source."""
        texts = self.count.texts.get(role, [])
        missing = [where for text, where in texts if (probe := _probe(text)) and probe not in kept]
        if left := missing[: max(len(missing) - dropped, 0)]:
            detail = f"{len(left)} of {len(texts)} {name} are not in the trajectory"
            self.found.add(check, left[0], detail, violation=len(left) > _FEW * len(texts))

    def _places(self, steps: Sequence[Step]) -> None:
        """Look for each result in the observation of the step with its call, and where it is not, in the others."""
        having: dict[str, list[tuple[Key, Step]]] = {}
        for step in steps:
            for action in step.actions:
                having.setdefault(action.name, []).append(
                    ((action.name, arguments_of(action.arguments)), step)
                )
        for keys, text, where in self.count.answered(self.rows[0].source):
            probe = _probe(text)
            own = [
                step
                for key in keys
                for kept, step in having.get(key[0], ())
                if kept == key or _is_part(kept, key)
            ]
            if len(probe) < _TELLING or not own or any(probe in step.observation for step in own):
                continue
            if any(probe in step.observation for step in steps):
                detail = f"the result of {_shown(keys[0])} stands at another call: {probe}"
                self.found.add("result_misplaced", where, detail)

    def _words(self, where: str, trajectory: Trajectory) -> None:
        own, others = self._said(AGENT, REASONING), self._said(USER, RESULT, OTHER)
        for index, step in enumerate(trajectory.steps):
            at = f"{where} step {index}"
            if "<think>" in step.thought or "</think>" in step.thought:
                self.found.add("reasoning_lost", at, f"the thought holds a <think> tag: {step.thought}")
            if step.actions and _PLACEHOLDER.fullmatch(step.thought.strip()):
                self.found.add("other_agent", at, f"the thought is a placeholder: {step.thought}")
            if (probe := _probe(step.thought)) and probe not in own and not _MARKED.search(step.thought):
                detail = f"the thought is {'no word of the agent' if probe in others else 'not in the source'}: {probe}"
                self.found.add("other_agent", at, detail, violation=probe in others)
        if _EXAMPLE.search(trajectory.task):
            self.found.add("task", where, f"the task holds an example of another task: {trajectory.task}")
            return
        probe = _probe(trajectory.task)
        given = (value for call in self.made for _, value in call.key[1])  # to a sub-agent
        if (
            probe not in others
            and not _MARKED.search(trajectory.task)
            and not any(probe in one for one in given)
        ):
            detail = f"the task is {'of the agent' if probe in own else 'not in the source'}: {probe}"
            self.found.add("task", where, detail, violation=probe in own)

    def _said(self, *roles: str) -> str:
        return "\n".join(text for role in roles for text, _ in self.count.texts.get(role, ()))


def _is_part(key: Key, of: Key) -> bool:
    """Return whether a kept call is a call of the source without some arguments, or with marks of redaction in them."""
    if key[0] != of[0]:
        return False
    return key[1] <= of[1] or any(_MARKED.search(value) for _, value in key[1] - of[1])


def _probe(text: str) -> str:
    """Return the longest line, cut: what is looked for of a text that is shown in another form elsewhere."""
    lines = (line.strip() for line in text.splitlines())
    return max((line for line in lines if not _LABEL.fullmatch(line)), key=len, default="")[:_PROBE].strip()


def _shown(key: Key) -> str:
    name, arguments = key
    return f"{name}({', '.join(f'{one}={value[:60]!r}' for one, value in sorted(arguments))})"[:100]
