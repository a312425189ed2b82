"""Figures of a store: counts, kinds and lengths of trajectories and steps, by source, repository and model."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rich.table import Table

from srl_agent.formats import get_format
from srl_agent.step_kinds import step_kind
from trajectories import Step, Trajectory
from trajectories.types import JSON

Lengths = Mapping[str, Sequence[int]]  # of the texts of each part
CountTokens = Callable[[Sequence[str]], Sequence[int]]  # of each text

GROUPS = ("source", "repository", "model")
PARTS = ("task", "thought", "action", "observation", "trajectory")  # whose lengths are taken
_ENVELOPE = get_format("xml")  # what a thought may hold is the same for every format
_NONE = "-"  # for a trajectory without a model
_SHOWN = 10  # groups of a table


@dataclass(kw_only=True)
class Figures:
    """Figures of some trajectories. Lengths are kept one by one, 8 bytes each; texts are not."""

    trajectories: int = 0
    resolved: Counter[str] = field(default_factory=Counter)  # yes, no, unknown
    with_patch: int = 0
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of steps with an action
    without_action: int = 0
    reasoned: int = 0  # steps with recorded reasoning
    targets: int = 0  # steps with an action that no filter made context
    without_thought: int = (
        0  # of these: no thought that a format can write, so that training puts the filler in
    )
    steps: "array[int]" = field(default_factory=lambda: array("q"))  # of each trajectory
    characters: "dict[str, array[int]]" = field(default_factory=lambda: {part: array("q") for part in PARTS})
    tokens: "dict[str, array[int]]" = field(default_factory=lambda: {part: array("q") for part in PARTS})

    def add(self, trajectory: Trajectory, characters: Lengths, tokens: Lengths) -> None:
        """Count a trajectory with the lengths of its parts."""
        self.trajectories += 1
        self.resolved[{True: "yes", False: "no"}.get(trajectory.resolved, "unknown")] += 1  # type: ignore[arg-type]
        self.with_patch += bool(trajectory.patch)
        self.steps.append(len(trajectory.steps))
        for step in trajectory.steps:
            self.calls += len(step.actions)
            self.reasoned += bool(step.reasoning)
            if step.actions and step.target:
                self.targets += 1
                self.without_thought += _ENVELOPE.expert_thought(step) is None
            if step.actions:
                self.kinds[step_kind(step)] += 1
            else:
                self.without_action += 1
        for lengths, found in ((self.characters, characters), (self.tokens, tokens)):
            for part, values in found.items():
                lengths[part].extend(values)

    def as_table(self) -> dict[str, JSON]:
        """Return the figures as JSON."""
        table: dict[str, JSON] = {
            "trajectories": self.trajectories,
            "resolved": dict(self.resolved),
            "with_patch": self.with_patch,
            "steps": {"total": sum(self.steps), **spread(self.steps)},
            "steps_without_action": self.without_action,
            "steps_with_reasoning": self.reasoned,
            "targets": self.targets,
            "targets_without_thought": self.without_thought,
            "calls": self.calls,
            "kinds": dict(self.kinds.most_common()),
            "characters": {part: spread(values) for part, values in self.characters.items()},
        }
        if any(self.tokens.values()):
            table["tokens"] = {part: spread(values) for part, values in self.tokens.items()}
        return table


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Figures of a store, and of its groups."""

    total: Figures
    groups: Mapping[str, Mapping[str, Figures]]  # source, repository, model -> name -> figures

    def as_table(self) -> dict[str, JSON]:
        table: dict[str, JSON] = {"total": self.total.as_table()}
        for group, found in self.groups.items():
            table[f"by_{group}"] = {name: one.as_table() for name, one in _largest(found)}
        return table


def collect(trajectories: Iterable[Trajectory], count_tokens: CountTokens | None = None) -> Stats:
    """Collect the figures in one pass, one trajectory in memory at a time."""
    total = Figures()
    groups: dict[str, dict[str, Figures]] = {group: {} for group in GROUPS}
    for trajectory in trajectories:
        texts = parts_of(trajectory)
        characters = {part: [len(text) for text in found] for part, found in texts.items()}
        tokens = _tokens(texts, count_tokens) if count_tokens else {}
        for lengths in (characters, tokens):
            if lengths:
                lengths["trajectory"] = [sum(map(sum, lengths.values()))]
        names = (trajectory.source, trajectory.repository, trajectory.model or _NONE)
        for group, name in zip(GROUPS, names, strict=True):
            groups[group].setdefault(name, Figures()).add(trajectory, characters, tokens)
        total.add(trajectory, characters, tokens)
    return Stats(total=total, groups=groups)


def parts_of(trajectory: Trajectory) -> dict[str, list[str]]:
    """Return the texts of a trajectory: a thought and an observation per step, an action per step that acts.

    Calls are counted as JSON: their length in a prompt depends on the action format of a recipe.
    """
    return {
        "task": [trajectory.task],
        "thought": [step.thought for step in trajectory.steps],
        "action": [_as_text(step) for step in trajectory.steps if step.actions],
        "observation": [step.observation for step in trajectory.steps],
    }


def _as_text(step: Step) -> str:
    calls = [{"name": action.name, "arguments": dict(action.arguments)} for action in step.actions]
    return "\n".join(json.dumps(call, ensure_ascii=False) for call in calls)


def _tokens(texts: Mapping[str, Sequence[str]], count: CountTokens) -> dict[str, list[int]]:
    counts = iter(count([text for found in texts.values() for text in found]))
    return {part: [next(counts) for _ in found] for part, found in texts.items()}


def spread(values: Sequence[int]) -> dict[str, float | int | None]:
    """Return mean, median, 90th percentile and maximum; nearest ranks, so that each is one of the values.

    >>> spread([4, 1, 2, 3])
    {'mean': 2.5, 'median': 2, 'p90': 4, 'max': 4}
    """
    if not values:
        return {"mean": None, "median": None, "p90": None, "max": None}
    ranked = sorted(values)
    last = len(ranked) - 1
    return {
        "mean": round(fmean(ranked), 1),
        "median": ranked[last // 2],
        "p90": ranked[min(last, len(ranked) * 9 // 10)],
        "max": ranked[last],
    }


def tables(stats: Stats) -> list[Table]:
    """Return tables for a terminal: lengths, kinds, and each grouping with more than one group."""
    found = [_lengths(stats.total), _kinds(stats.total)]
    return found + [_group(name, groups) for name, groups in stats.groups.items() if len(groups) > 1]


def _lengths(figures: Figures) -> Table:
    table = _table("lengths", "mean", "median", "90 %", "max")
    _add(table, "steps per trajectory", figures.steps)
    for unit, lengths in (("characters", figures.characters), ("tokens", figures.tokens)):
        for part, values in lengths.items():
            if values:
                _add(table, f"{unit} of {'an' if part[0] in 'ao' else 'a'} {part}", values)
    return table


def _add(table: Table, name: str, values: Sequence[int]) -> None:
    table.add_row(name, *(f"{value:,}" for value in spread(values).values()))


def _kinds(figures: Figures) -> Table:
    table = _table("kind of step", "steps", "share")
    total = sum(figures.steps) or 1
    counts = [*figures.kinds.most_common(), ("without an action", figures.without_action)]
    for name, count in counts:
        if count:
            table.add_row(name, f"{count:,}", f"{count / total:.1%}")
    return table


def _group(name: str, groups: Mapping[str, Figures]) -> Table:
    table = _table(name, "trajectories", "resolved", "not", "steps", "median", "characters, median")
    ranked = _largest(groups)
    for label, figures in ranked[:_SHOWN]:
        table.add_row(
            label,
            f"{figures.trajectories:,}",
            f"{figures.resolved['yes']:,}",
            f"{figures.resolved['no']:,}",
            f"{sum(figures.steps):,}",
            f"{spread(figures.steps)['median']:,}",
            f"{spread(figures.characters['trajectory'])['median']:,}",
        )
    if rest := ranked[_SHOWN:]:
        steps = sum(sum(figures.steps) for _, figures in rest)
        count = sum(figures.trajectories for _, figures in rest)
        table.add_row(f"{len(rest)} others", f"{count:,}", "", "", f"{steps:,}", "", "")
    return table


def _largest(groups: Mapping[str, Figures]) -> list[tuple[str, Figures]]:
    return sorted(groups.items(), key=lambda item: (-item[1].trajectories, item[0]))


def _table(first: str, *numbers: str) -> Table:
    table = Table()
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", min_width=5)
    return table
