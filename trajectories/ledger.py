"""The account of a conversion: what was read, kept and dropped, why and where. The numbers always add up."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from trajectories.types import JSON

LEDGER_VERSION = 1
EXAMPLES = 5  # positions remembered per reason and file


@dataclass(kw_only=True)
class Count:
    """``read == kept + sum(dropped)``, of trajectories or of steps (agent turns)."""

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Count") -> None:
        self.read += other.read
        self.kept += other.kept
        self.dropped.update(other.dropped)

    def check(self, what: str) -> None:
        """Raises AssertionError if the numbers do not add up."""
        lost = self.read - self.kept - self.dropped.total()
        if lost or min(self.read, self.kept, *self.dropped.values(), 0) < 0:
            raise AssertionError(f"{what}: read {self.read}, kept {self.kept}, dropped {dict(self.dropped)}")

    def to_json(self) -> dict[str, JSON]:
        return {"read": self.read, "kept": self.kept, "dropped": dict(sorted(self.dropped.items()))}


class FileLedger:
    """The account of one input file as one format; of an archive, all its members of that format."""

    def __init__(self, path: str, format_name: str | None) -> None:
        self.path = path
        self.format_name = format_name  # None: before, or without, a known format
        self.trajectories = Count()
        self.steps = Count()
        self.skipped: Counter[str] = Counter()  # the file itself, or members of it, that hold no trajectories
        self.notes: Counter[str] = Counter()  # oddities that cost no turn
        self.recognised_by: Counter[str] = Counter()  # structures that the format was detected by
        self._examples: dict[str, dict[str, list[str]]] = {}

    def trajectory(
        self, position: str, turns: int, drops: Sequence[tuple[str, int]] = (), reason: str | None = None
    ) -> None:
        """Count a trajectory with this number of agent turns.

        ``drops``: (reason, turn number from 1) of the turns that are not kept. ``reason``: why the whole trajectory
        is dropped; its turns that are not in ``drops`` are dropped for it too.
        """
        self.trajectories.read += 1
        self.steps.read += turns
        for why, turn in drops:
            self.steps.dropped[why] += 1
            self._example("steps", why, f"{position} turn {turn}")
        left = turns - len(drops)
        if reason is None:
            self.trajectories.kept += 1
            self.steps.kept += left
            return
        self.trajectories.dropped[reason] += 1
        self._example("trajectories", reason, position)
        if left:
            self.steps.dropped[reason] += left
            self._example("steps", reason, position)

    def drop_kept(
        self, position: str, turns: int, drops: Sequence[tuple[str, int]] = (), reason: str | None = None
    ) -> None:
        """Replace the count of a kept trajectory with this number of turns, after filters dropped some or all."""
        self.trajectories.read -= 1
        self.trajectories.kept -= 1
        self.steps.read -= turns
        self.steps.kept -= turns
        self.trajectory(position, turns, drops, reason)

    def skip(self, reason: str, position: str) -> None:
        """Count a file, or a member of an archive, that is not read as trajectories."""
        self.skipped[reason] += 1
        self._example("skipped", reason, position)

    def note(self, what: str, position: str, times: int = 1) -> None:
        """Count an oddity that cost no turn."""
        self.notes[what] += times
        self._example("notes", what, position)

    def recognised(self, why: str) -> None:
        """Count a document, by the structure that its format was detected by."""
        self.recognised_by[why] += 1

    def _example(self, kind: str, reason: str, position: str) -> None:
        found = self._examples.setdefault(kind, {}).setdefault(reason, [])
        if len(found) < EXAMPLES:
            found.append(position)

    def examples(self, kind: str) -> dict[str, list[str]]:
        """Return positions by reason. Kinds: trajectories, steps, skipped, notes."""
        return self._examples.get(kind, {})

    def to_json(self) -> dict[str, JSON]:
        totals = Totals.of([self]).to_json()
        by = {"recognised_by": dict(self.recognised_by)} if self.recognised_by else {}
        return {"path": self.path, "format": self.format_name, **by, **totals, "examples": self._examples}


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The sum of several file ledgers."""

    trajectories: Count
    steps: Count
    skipped: Counter[str]
    notes: Counter[str]

    @classmethod
    def of(cls, files: Iterable[FileLedger]) -> "Totals":
        total = cls(trajectories=Count(), steps=Count(), skipped=Counter(), notes=Counter())
        for file in files:
            total.trajectories.add(file.trajectories)
            total.steps.add(file.steps)
            total.skipped.update(file.skipped)
            total.notes.update(file.notes)
        return total

    def to_json(self) -> dict[str, JSON]:
        counts = {"trajectories": self.trajectories.to_json(), "steps": self.steps.to_json()}
        skipped, notes = (dict(sorted(counter.items())) for counter in (self.skipped, self.notes))
        return {**counts, "skipped": skipped, "notes": notes}


class Ledger:
    """All accounts of a conversion. Memory grows with the number of files, not with their size."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str | None], FileLedger] = {}

    def file(self, path: str, format_name: str | None = None) -> FileLedger:
        """Return the account of this file as this format, opened at first use."""
        key = (path, format_name)
        if key not in self._files:
            self._files[key] = self._open(path, format_name)
        return self._files[key]

    def _open(self, path: str, format_name: str | None) -> FileLedger:
        return FileLedger(path, format_name)

    @property
    def files(self) -> tuple[FileLedger, ...]:
        return tuple(self._files.values())

    def total(self) -> Totals:
        return Totals.of(self.files)

    def by_format(self) -> dict[str, Totals]:
        """Return totals by format name; ``-`` is for files of no known format."""
        names = sorted({file.format_name or "-" for file in self.files})
        return {n: Totals.of(f for f in self.files if (f.format_name or "-") == n) for n in names}

    def check(self) -> None:
        """Raises AssertionError if any account, or the total, does not add up."""
        for file in self.files:
            file.trajectories.check(f"{file.path}: trajectories")
            file.steps.check(f"{file.path}: steps")
        total = self.total()
        total.trajectories.check("total: trajectories")
        total.steps.check("total: steps")

    def to_json(self) -> dict[str, JSON]:
        """Return the whole ledger, checked first: one that does not add up is never written."""
        self.check()
        return {
            "ledger_version": LEDGER_VERSION,
            "total": self.total().to_json(),
            "formats": {name: totals.to_json() for name, totals in self.by_format().items()},
            "files": [file.to_json() for file in self.files],
        }


Entry = tuple[str, str | None, str, tuple[object, ...]]  # path and format of the account, method, arguments


class Journal(Ledger):
    """A ledger that remembers what readers count, so that another process can count it in the order of the input."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[Entry] = []

    def _open(self, path: str, format_name: str | None) -> FileLedger:
        self._entries.append((path, format_name, "", ()))
        return _JournalledFile(path, format_name, self._entries)

    def take(self) -> list[Entry]:
        """Return the entries since the last call."""
        taken = self._entries.copy()
        self._entries.clear()
        return taken


class _JournalledFile(FileLedger):
    def __init__(self, path: str, format_name: str | None, entries: list[Entry]) -> None:
        super().__init__(path, format_name)
        self._entries = entries

    def _remember(self, method: str, *arguments: object) -> None:
        self._entries.append((self.path, self.format_name, method, arguments))

    def trajectory(
        self, position: str, turns: int, drops: Sequence[tuple[str, int]] = (), reason: str | None = None
    ) -> None:
        self._remember("trajectory", position, turns, drops, reason)
        super().trajectory(position, turns, drops, reason)

    def skip(self, reason: str, position: str) -> None:
        self._remember("skip", reason, position)
        super().skip(reason, position)

    def note(self, what: str, position: str, times: int = 1) -> None:
        self._remember("note", what, position, times)
        super().note(what, position, times)

    def recognised(self, why: str) -> None:
        self._remember("recognised", why)
        super().recognised(why)


def replay(entries: Iterable[Entry], ledger: Ledger) -> None:
    """Count in ``ledger`` what a journal remembers."""
    for path, format_name, method, arguments in entries:
        account = ledger.file(path, format_name)
        if method:
            getattr(account, method)(*arguments)
