"""Files -> documents -> format -> reader -> trajectories, with every loss in the ledger."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trajectories.ledger import FileLedger, Ledger
from trajectories.readers import READERS, openhands_sdk, pivot
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.sources.documents import DEFAULT_LIMIT, Document, Failure, is_candidate, read_documents
from trajectories.types import Trajectory

# Logs of one line an event: every line of the file belongs to it, also those of an unknown kind.
LOGS = frozenset({"claude-code", "claude-stream", "codex", "gemini", "iflow", "pi", "qwen-code"})
# Formats whose trajectory is spread over several documents, with the key that these share.
_GROUPED: dict[str, Callable[[Document], str]] = {
    **dict.fromkeys(LOGS, lambda document: document.origin),
    "openhands-sdk": openhands_sdk.conversation,
    "pivot": pivot.same_trajectory,
}
# Formats whose document with the highest number holds all that the others of its trajectory hold.
_LAST_HOLDS_ALL: dict[str, Callable[[Document], int]] = {"pivot": pivot.step_index}
_UNKNOWN_AT_FIRST = 1000  # lines of no known format that may come before the first line of a log

Found = tuple[Trajectory, FileLedger]


def read_trajectories_of(
    files: Iterable[Path],
    ledger: Ledger,
    *,
    format_name: str | None = None,
    limit: int = DEFAULT_LIMIT,
    named: Iterable[Path] = (),
    on_bytes: Callable[[Path, int], None] = lambda path, position: None,
) -> Iterator[Found]:
    """Stream the trajectories of these files, ids made unique, one document (or group) in memory at a time.

    Yield each with the ledger's account that counts it as kept. ``format_name``: None detects the format of each
    document. ``limit``: bytes of a line or a document. ``named``: files that are opened whatever their names are.
    ``on_bytes(path, position)`` reports progress.
    """
    seen: Counter[str] = Counter()
    named = set(named)
    session = _Session(ledger, format_name)
    for path in files:
        if path not in named and not is_candidate(path.name):
            ledger.file(str(path)).skip("not_a_data_file", str(path))
            continue
        for item in read_documents(path, limit=limit, on_bytes=lambda at, path=path: on_bytes(path, at)):  # type: ignore[misc]
            for trajectory, account in session.take(str(path), item):
                yield _unique(trajectory, seen, account), account
    for trajectory, account in session.flush():
        yield _unique(trajectory, seen, account), account


class _Session:
    """The state between documents: a growing group, a file that is skipped."""

    def __init__(self, ledger: Ledger, format_name: str | None) -> None:
        self.ledger = ledger
        self.format_name = format_name
        self.group: list[Document] = []
        self.group_key: tuple[str, str] | None = None
        self.group_path = ""
        self.why_unknown = ""
        self.unknown_path = ""
        self.recognised: tuple[str, str] | None = None  # origin and format of the last recognised document
        self.unknown: list[tuple[Document, str]] = []  # the first documents of an origin, of no format, with why

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
        self.ledger.file(path, detected.name).recognised_by[detected.why] += 1
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
        key = (name, _GROUPED[name](item)) if name in _GROUPED else None
        if key != self.group_key:
            yield from self.flush()
        if key is None:
            yield from self._read(self.ledger.file(path, name), name, item)
        else:
            # A folder of event files is one account, as an archive is.
            one_file = name in _LAST_HOLDS_ALL or "!" in key[1] or key[1] == item.origin
            self.group_path = path if one_file else key[1]
            self.group_key = key
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
        whole = Document(value=[document.value for document in documents], origin=key)
        if name in _LAST_HOLDS_ALL:
            (whole,) = documents
        yield from self._read(self.ledger.file(self.group_path, name), name, whole)

    def _read(self, account: FileLedger, name: str, document: Document) -> Iterator[Found]:
        before = account.trajectories.read
        try:
            for trajectory in READERS[name](document, account):
                yield trajectory, account
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
    """Return the rows of a document that is a list of rows, each of a known format; empty for any other."""
    value = document.value
    if not isinstance(value, list) or document.line is not None or len(value) == 0:
        return []
    try:
        detect(value[0])
    except UnknownFormat:
        return []
    return [Document(value=row, origin=document.origin, line=number) for number, row in enumerate(value, 1)]


def _unique(trajectory: Trajectory, seen: Counter[str], account: FileLedger) -> Trajectory:
    """Return the trajectory under a unique id: ``id``, ``id~2``, ``id~3``, … in reading order."""
    wanted = trajectory.trajectory_id
    seen[wanted] += 1
    if seen[wanted] == 1:
        return trajectory
    account.note("trajectory_id_taken", wanted)
    new = f"{wanted}~{seen[wanted]}"
    while new in seen:
        seen[wanted] += 1
        new = f"{wanted}~{seen[wanted]}"
    seen[new] += 1
    return replace(trajectory, trajectory_id=new)
