"""Files -> documents -> format -> reader -> trajectories, with every loss in the ledger."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from trajectories.ledger import FileLedger, Ledger
from trajectories.readers import READERS
from trajectories.readers.chat import pivot
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.readers.harbor import trials
from trajectories.readers.scaffolds import openhands_sdk
from trajectories.sources.documents import DEFAULT_LIMIT, Document, Failure, read_documents
from trajectories.sources.parts import Part
from trajectories.sources.paths import is_candidate
from trajectories.types import JSON, Trajectory

# Logs of one line an event: every line of the file belongs to it, also those of an unknown kind.
LOGS = frozenset({
    "claude-code", "claude-stream", "codex", "gemini", "iflow", "opencode-stream", "pi", "qwen-code"
})  # fmt: skip
# Formats whose trajectory is spread over several documents, with the key that these share.
GROUPED: dict[str, Callable[[Document], str]] = {
    **dict.fromkeys(LOGS, lambda document: document.origin),
    "openhands-sdk": openhands_sdk.conversation,
    "pivot": pivot.same_trajectory,
}
# Formats whose document with the highest number holds all that the others of its trajectory hold.
_LAST_HOLDS_ALL: dict[str, Callable[[Document], int]] = {"pivot": pivot.step_index}
# Formats whose documents have another order than that of their names.
_IN_ORDER: dict[str, Callable[[list[Document]], list[Document]]] = {"openhands-sdk": openhands_sdk.in_order}
_UNKNOWN_AT_FIRST = 1000  # lines of no known format that may come before the first line of a log
_UNKNOWN_IN_A_LINE = 20  # the same, of a list that is itself a line or a row

_LOG_ENDINGS = (".log", ".out", ".txt")
_NAME_IT = ": a file that is named itself is read whatever its ending is"

Found = tuple[Trajectory, FileLedger]


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The state between two parts of the input: what the documents before mean for those behind."""

    recognised: tuple[str, str] | None = None  # origin and format of the last recognised document
    opened: tuple[str, str] | None = None  # the group that may go on
    first: tuple[str, str] | None = (
        None  # the group of the first document that was added, None for one of its own
    )
    added: bool = False  # whether there was such a document

    def joins(self, part: Part, after: "Edge") -> bool:
        """Return whether a part that was read alone, to the edge ``after``, was read as it is behind this edge."""
        if self.opened and (part.starts_inside or not after.added or after.first == self.opened):
            return False
        return not part.starts_inside or self.recognised == part.recognised


def read_trajectories_of(
    files: Iterable[Path],
    ledger: Ledger,
    *,
    format_name: str | None = None,
    limit: int = DEFAULT_LIMIT,
    named: Iterable[Path] = (),
    tasks: Mapping[str, str] | None = None,
    on_bytes: Callable[[Path, int], None] = lambda path, position: None,
) -> Iterator[Found]:
    """Stream the trajectories of these files, ids made unique, one document (or group) in memory at a time.

    Yield each with the ledger's account that counts it as kept. ``format_name``: None detects the format of each
    document. ``limit``: bytes of a line or a document. ``named``: files that are opened whatever their names are.
    ``tasks``: by the name of an instance, a file or a folder, for trajectories that hold no task.
    ``on_bytes(path, position)`` reports progress.
    """
    ids = UniqueIds()
    session = Session(
        ledger, format_name=format_name, limit=limit, named=named, tasks=tasks, on_bytes=on_bytes
    )
    for trajectory, account in session.read([Part(files=(path,)) for path in files]):
        yield replace(trajectory, trajectory_id=ids.take(trajectory.trajectory_id, account)), account


class Session:
    """A reader of parts of the input in their order, and its state between documents: a group that grows."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        format_name: str | None = None,
        limit: int = DEFAULT_LIMIT,
        named: Iterable[Path] = (),
        tasks: Mapping[str, str] | None = None,
        on_bytes: Callable[[Path, int], None] = lambda path, position: None,
    ) -> None:
        self.ledger = ledger
        self.format_name = format_name
        self.limit = limit
        self.named = frozenset(named)
        self.tasks = tasks
        self.on_bytes = on_bytes
        self.group: list[Document] = []
        self.group_path = ""
        self.why_unknown = ""
        self.unknown_path = ""
        self.unknown: list[
            tuple[Document, str]
        ] = []  # the first documents of an origin, of no format, with why
        self.trials = trials.Trials()
        self.resume(Edge())

    def resume(self, edge: Edge) -> None:
        """Begin behind this edge, at which no group is open."""
        self.recognised = edge.recognised
        self.group_key: tuple[str, str] | None = None
        self.first: tuple[str, str] | None = None
        self.added = False

    @property
    def edge(self) -> Edge:
        return Edge(recognised=self.recognised, opened=self.group_key, first=self.first, added=self.added)

    def read(self, parts: Iterable[Part]) -> Iterator[Found]:
        """Read these parts, and the group that is open at their end."""
        for part in parts:
            yield from self.read_part(part)
        yield from self.flush()

    def read_part(self, part: Part) -> Iterator[Found]:
        """Read a part; its last group stays open. Raises CutDocument."""
        for path in part.files:
            if path not in self.named and not is_candidate(path.name):
                hint = _NAME_IT if path.suffix in _LOG_ENDINGS else ""
                self.ledger.file(str(path)).skip("not_a_data_file", f"{path}{hint}")
                continue
            if path not in self.named and trials.is_told_better(path):
                self.ledger.file(str(path)).skip(trials.TOLD_TWICE, str(path))
                continue
            report = partial(self.on_bytes, path)
            for item in read_documents(path, limit=self.limit, on_bytes=report, span=part.span):
                yield from self.take(str(path), item)
            if part.span is None or part.span.is_last:
                self._give_up()

    def take(self, path: str, item: Document | Failure) -> Iterator[Found]:
        if self.unknown and self.unknown[0][0].origin != item.origin:
            self._give_up()
        if isinstance(item, Failure):
            self._fail(path, item)
            return
        name = self._name(path, item)
        if name is None:
            if rows := rows_of(item):
                for row in rows:
                    yield from self.take(path, row)
            elif self.trials.sidecar(item):
                self.ledger.file(path).skip(trials.OF_A_TRIAL, item.position)
            else:
                self._unknown(path, item)
            return
        self.recognised = (item.origin, name)
        yield from self._settle(path, name)
        yield from self._add(path, name, item)

    def _name(self, path: str, document: Document) -> str | None:
        """Return the format of a document, None for none. A log's lines are all of its format."""
        if self.format_name:
            return self.format_name
        if self.recognised and self.recognised[0] == document.origin and self.recognised[1] in LOGS:
            return self.recognised[1]
        try:
            detected = detect(document.value)
        except UnknownFormat as error:
            self.why_unknown = str(error)
            return None
        self.ledger.file(path, detected.name).recognised(detected.why)
        return detected.name

    def _settle(self, path: str, name: str) -> Iterator[Found]:
        """Take the documents of no format before the first one that has one: lines of the log, or lost rows."""
        unknown, self.unknown = self.unknown, []
        for document, why in unknown:
            if name in LOGS:
                yield from self._add(path, name, document)
            else:
                reason = f"{document.position}: {why}"
                self.ledger.file(path, name).trajectory(reason, 0, reason="unknown_format")

    def _add(self, path: str, name: str, item: Document) -> Iterator[Found]:
        """Read a document, or keep it with its group; read the group before it if that is complete."""
        key = (name, GROUPED[name](item)) if name in GROUPED else None
        if key != self.group_key:
            yield from self.flush()
        if not self.added:
            self.first, self.added = key, True
        if key is None:
            yield from self._read(self.ledger.file(path, name), name, item)
        else:
            # A folder of event files is one account, as an archive is.
            one_file = name in _LAST_HOLDS_ALL or "!" in key[1] or key[1] == item.origin
            self.group_path = path if one_file else key[1]
            self.group_key = key
            self.ledger.file(self.group_path, name)  # accounts are listed in the order of the documents
            self.group.append(item)
            if name in _LAST_HOLDS_ALL:
                self.group = [max(self.group, key=_LAST_HOLDS_ALL[name])]

    def flush(self) -> Iterator[Found]:
        """Read the group that is complete."""
        self._give_up()
        if self.group_key is None:
            return
        name, key = self.group_key
        self.group_key = None
        documents, self.group = sorted(self.group, key=lambda d: (d.origin, d.line or 0)), []
        documents = _IN_ORDER[name](documents) if name in _IN_ORDER else documents
        whole = Document(value=[document.value for document in documents], origin=key)
        if name in _LAST_HOLDS_ALL:
            (whole,) = documents
        yield from self._read(self.ledger.file(self.group_path, name), name, whole)

    def _read(self, account: FileLedger, name: str, document: Document) -> Iterator[Found]:
        if self.trials.twice(document, name):
            account.skip(trials.TOLD_TWICE, document.position)
            return
        before = account.trajectories.read
        document = replace(document, tasks=self.tasks) if self.tasks else document
        try:
            for trajectory in READERS[name](document, account):
                yield self.trials.of_its_task(trajectory, document, account), account
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # A foreign program's document may be wrong in any way; the ledger holds position and error.
            where = f"{document.position}: {type(error).__name__}: {error}"
            account.trajectory(where, 0, reason="malformed")
        if account.trajectories.read == before:
            account.skip("no_trajectory", document.position)

    def _format_of(self, origin: str) -> str | None:
        """Return the format of the documents before this one in its file or member."""
        if self.recognised is not None and self.recognised[0] == origin:
            return self.recognised[1]
        return self.format_name

    def _fail(self, path: str, failure: Failure) -> None:
        account = self.ledger.file(path, self._format_of(failure.origin))
        if failure.line is None:
            account.skip(failure.reason, failure.position)
        elif self._in_group(failure.origin):
            account.note(failure.reason, failure.position)
        else:
            account.trajectory(failure.position, 0, reason=failure.reason)

    def _unknown(self, path: str, document: Document) -> None:
        format_name = self._format_of(document.origin)
        if format_name is None:
            if len(self.unknown) < _UNKNOWN_AT_FIRST:
                self.unknown.append((document, self.why_unknown))
                self.unknown_path = path
            return
        account = self.ledger.file(path, format_name)
        where = f"{document.position}: {self.why_unknown}"
        if self._in_group(document.origin):
            account.note("unknown_line", where)
        else:
            account.trajectory(where, 0, reason="unknown_format")

    def _give_up(self) -> None:
        """Count a file, or a member, none of whose documents is of a known format."""
        if self.unknown:
            document, why = self.unknown[0]
            self.ledger.file(self.unknown_path).skip("unknown_format", f"{document.position}: {why}")
            self.unknown = []

    def _in_group(self, origin: str) -> bool:
        """Return whether this is a line of a file whose lines are one trajectory."""
        return self.group_key is not None and origin == self.group_key[1]


def rows_of(document: Document) -> list[Document]:
    """Return the rows of a list, if one of the first is of a known format, or a list of such; else nothing."""
    value = document.value
    looked_at = _UNKNOWN_AT_FIRST if document.line is None else _UNKNOWN_IN_A_LINE
    if not isinstance(value, list) or not any(_is_known(row) for row in value[:looked_at]):
        return []
    rows = enumerate(value, 1)
    return [Document(value=row, origin=document.origin, line=document.line or n) for n, row in rows]


def _is_known(row: JSON) -> bool:
    """Return whether a row is of a known format, or the first rows of a list are."""
    if not isinstance(row, dict | list):
        return False
    try:
        detect(row)
    except UnknownFormat:
        return isinstance(row, list) and any(
            isinstance(inner, dict) and _is_known(inner) for inner in row[:_UNKNOWN_IN_A_LINE]
        )
    return True


class UniqueIds:
    """The ids of the trajectories so far."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def take(self, wanted: str, account: FileLedger) -> str:
        """Return the unique id of the next trajectory: ``wanted``, ``wanted~2``, ``wanted~3``, … in reading order."""
        seen = self._seen
        seen[wanted] += 1
        if seen[wanted] == 1:
            return wanted
        account.note("trajectory_id_taken", wanted)
        new = f"{wanted}~{seen[wanted]}"
        while new in seen:
            seen[wanted] += 1
            new = f"{wanted}~{seen[wanted]}"
        seen[new] += 1
        return new
