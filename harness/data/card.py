"""The card of a data set: its sources, what was dropped and why, how it is split."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.filters import FilterTable
from harness.data.split import split_groups
from trajectories import Trajectory
from trajectories.filters.redaction import redact
from trajectories.ledger import Ledger
from trajectories.store import atomic_write, beside

_FRACTION, _SEED = 0.1, 0  # of the split that is shown: the defaults of a recipe's data table
_LISTED = 20
_NOTES = ("context_only:", "found:", "redacted:")  # what filters note in the ledger


def card_path(out: Path) -> Path:
    """Return the card's path: ``data/expert.card.md`` for ``data/expert.jsonl``."""
    return beside(out, ".card.md")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a trajectory that the card counts."""

    said: tuple[str, ...]  # format, licence, teacher model, verdict
    repository: str
    instance_id: str
    steps: Counter[str]  # by kind

    @classmethod
    def of(cls, trajectory: Trajectory) -> "Facts":
        verdict = {True: "resolved", False: "unresolved", None: "not judged"}[trajectory.resolved]
        said = (trajectory.source, trajectory.metadata.get("licence"), trajectory.model, verdict)
        steps: Counter[str] = Counter()
        for step in trajectory.steps:
            kind = "without an action" if not step.actions else "with an action"
            steps[kind if step.target or not step.actions else "context only"] += 1
        return cls(
            said=tuple(str(value or "unknown") for value in said),
            repository=trajectory.repository,
            instance_id=trajectory.instance_id,
            steps=steps,
        )


class Card:
    """A counter of the kept trajectories that writes the card at the end."""

    def __init__(self, *, paths: Sequence[Path], written_as: str, filters: Sequence[FilterTable]) -> None:
        self._paths = paths
        self._written_as = written_as
        self._filters = filters
        names = ("format", "licence", "teacher model", "verdict")
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._repositories: list[str] = []
        self._instances: set[str] = set()
        self._steps: Counter[str] = Counter()

    def add(self, facts: Facts) -> None:
        for counts, value in zip(self._counts.values(), facts.said, strict=True):
            counts[value] += 1
        self._repositories.append(facts.repository)
        self._instances.add(facts.instance_id)
        self._steps.update(facts.steps)

    def write(self, out: Path, ledger: Ledger, *, rows: int, digest: str, command: Sequence[str]) -> None:
        """Write the card beside ``out``. Paths and mail addresses are redacted as in the data.

        ``digest``: the SHA-256 of what was written.
        """
        lines = [f"# {out.name}", "", *self._summary(rows, digest)]
        for name, counts in self._counts.items():
            lines += _table(f"By {name}", (name, "trajectories"), counts)
        lines += [*self._losses(ledger), *self._settings(), *self._splits(), "## Command", "", "```text"]
        lines += [f"python -m harness.convert {shlex.join(map(str, command))}", "```"]
        with atomic_write(card_path(out)) as file:
            file.write(redact("\n".join(lines)) + "\n")

    def _summary(self, rows: int, digest: str) -> Iterator[str]:
        steps = ", ".join(f"{n} {kind}" for kind, n in sorted(self._steps.items()))
        yield f"- {len(self._repositories)} trajectories, {self._steps.total()} steps ({steps or 'none'})"
        yield f"- {len(self._instances)} tasks, {len(set(self._repositories))} repositories"
        yield f"- {rows} rows, written as `{self._written_as}`"
        yield f"- sha256 `{digest}`"
        yield f"- made from {', '.join(f'`{path}`' for path in self._paths)}"
        yield ""

    def _losses(self, ledger: Ledger) -> Iterator[str]:
        total = ledger.total()
        for what, count in (("Trajectories", total.trajectories), ("Steps", total.steps)):
            yield from (f"## {what} read: {count.read}, kept: {count.kept}", "")
            yield from _rows(("dropped for", "count"), count.dropped)
        noted = Counter({what: n for what, n in total.notes.items() if what.startswith(_NOTES)})
        yield from _table("Changed or found by filters", ("what", "count"), noted)

    def _settings(self) -> Iterator[str]:
        yield from ("## Filters, in order", "")
        for table in self._filters:
            settings = ", ".join(f"{k}: {_plain(v)}" for k, v in table.model_dump().items() if k != "name")
            yield f"1. `{table.name}`{f': {settings}' if settings else ''}"
        yield from ("" if self._filters else "None.", "")

    def _splits(self) -> Iterator[str]:
        yield from ("## Splits", "")
        yield "The file is not divided: a recipe's `data` table says what is held out. Whole repositories (or tasks,"
        yield "with `split_by: instance`) go to validation, in the order of sha256 of `<seed>:<name>`, until they hold"
        yield "the wanted share of the trajectories. The rule looks at names only, so rows that are added later, or"
        yield "come in another order, move few groups to the other side."
        yield ""
        try:
            split = split_groups(self._repositories, by="repository", fraction=_FRACTION, seed=_SEED)
        except ValueError as error:
            yield from (f"With seed {_SEED} and fraction {_FRACTION} there is no split: {error}.", "")
            return
        held_out = sorted({self._repositories[position] for position in split.validation})
        yield f"With seed {_SEED} and fraction {_FRACTION}: {len(split.train)} trajectories for training,"
        yield f"{len(split.validation)} for validation, of {_listed(held_out)}."
        yield ""


def _table(title: str, heads: tuple[str, str], counts: Mapping[str, int]) -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from _rows(heads, counts)


def _rows(heads: tuple[str, str], counts: Mapping[str, int]) -> Iterator[str]:
    if not counts:
        yield from ("None.", "")
        return
    yield from (f"| {heads[0]} | {heads[1]} |", "|---|---:|")
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"| {_cell(name)} | {count} |"
    yield ""


def _cell(text: str) -> str:
    """Return a value escaped for a table: names of models may hold any text."""
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())[:200]


def _plain(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(_cell, names[:_LISTED])) + more
