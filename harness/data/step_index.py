"""Index of a trajectory file, cached between runs: each trajectory's offset, group, target steps and calls.

The index takes one pass over the file. That of a large file is saved beside it in a hidden file
(``.expert.jsonl.steps``), so that the next start needs no pass. It is valid for one state of the file, of the settings
and of our code; otherwise, and if it is damaged, it is made again. It may be deleted at any time.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import srl_agent
import trajectories
from harness.data.tools import Call, Tools, calls_of, set_of, tools_in, with_tools
from srl_agent.formats import SYNTAXES, ActionFormat
from srl_agent.steps import ACTS, StepSettings, target_status
from trajectories import Trajectory
from trajectories.store import atomic_write, parse_line, read_lines

SCHEMA_VERSION = 4
# Bytes: the index of a smaller file is not saved, because the pass takes only a moment.
WORTH_KEEPING = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One trajectory of the file."""

    line: int  # from 1
    offset: int  # of the line, in bytes
    trajectory_id: str
    instance_id: str
    repository: str
    resolved: bool | None
    target_status: str  # one letter per step, see srl_agent.steps.target_status
    calls: tuple[int, ...]  # of each step: a position in StepIndex.turns


@dataclass(frozen=True, kw_only=True)
class StepIndex:
    """The entries of a file, a few hundred bytes each, and the file's sha256."""

    digest: str
    entries: Sequence[Entry]
    turns: Sequence[tuple[Call, ...]]  # the distinct turns: tools and arguments of their calls

    def tools(self) -> str | Tools:
        """Return the tools that are called by steps that are targets, or would be by other settings.

        They are a built-in set, by its name, or argument names by tool.
        """
        counts = Counter(
            turn
            for entry in self.entries
            for turn, status in zip(entry.calls, entry.target_status, strict=True)
            if status in ACTS
        )
        return set_of(tools_in((self.turns[turn], count) for turn, count in sorted(counts.items())))


def index_steps(
    path: Path, *, settings: StepSettings, action_format: ActionFormat, tools_of_data: bool = False
) -> StepIndex:
    """Return the index of a file, saved or made now. Raises StoreError naming file and line.

    ``tools_of_data``: prompts list the tools of the file (:meth:`StepIndex.tools`) and not those of the format.
    """
    key, kept = _key(path, settings, action_format, tools_of_data), kept_at(path)
    if key is not None and (found := read_index(kept, key)) is not None:
        return found
    index = make_index(path, settings=settings, action_format=action_format)
    if tools_of_data and settings.max_prompt_chars is not None:  # the list of tools is a part of each prompt
        listing = with_tools(action_format, index.tools())
        index = make_index(path, settings=settings, action_format=listing)
    if key is not None and key == _key(
        path, settings, action_format, tools_of_data
    ):  # the file has not changed
        with suppress(OSError):  # in a read-only folder every start takes a pass
            write_index(index, kept, key)
    return index


def kept_at(path: Path) -> Path:
    """Return where the index of a file is saved: a hidden file, which ``harness.convert`` ignores."""
    return path.with_name(f".{path.name}.steps")


def make_index(path: Path, *, settings: StepSettings, action_format: ActionFormat) -> StepIndex:
    """Index a file in one pass, one trajectory in memory at a time. Raises StoreError naming file and line."""
    digest, entries = sha256(), []
    turns: dict[tuple[Call, ...], int] = {}
    for line in read_lines(path):
        digest.update(line.text)
        if line.text.strip():
            trajectory = parse_line(path, line)
            status = target_status(trajectory, settings=settings, action_format=action_format)
            calls = tuple(turns.setdefault(calls_of(step), len(turns)) for step in trajectory.steps)
            entries.append(_entry(line.number, line.offset, trajectory, status, calls))
    return StepIndex(digest=digest.hexdigest(), entries=entries, turns=tuple(turns))


def _entry(number: int, offset: int, trajectory: Trajectory, status: str, calls: tuple[int, ...]) -> Entry:
    return Entry(
        line=number,
        offset=offset,
        trajectory_id=trajectory.trajectory_id,
        instance_id=trajectory.instance_id,
        repository=trajectory.repository,
        resolved=trajectory.resolved,
        target_status=status,
        calls=calls,
    )


def write_index(index: StepIndex, kept: Path, key: str) -> None:
    """Write two lines: a head with the key that the index is valid for, and the entries."""
    body = json.dumps([[list(vars(entry).values()) for entry in index.entries], index.turns])
    head = {"key": key, "digest": index.digest, "body": sha256(body.encode()).hexdigest()}
    with atomic_write(kept) as out:
        out.write(f"{json.dumps(head)}\n{body}\n")


def read_index(kept: Path, key: str) -> StepIndex | None:
    """Read a saved index; None if there is none, if it is of another state, or damaged."""
    names = Entry.__dataclass_fields__
    try:
        first, body, _ = kept.read_text(encoding="utf-8").split("\n")
        head = json.loads(first)
        if head["key"] != key or head["body"] != sha256(body.encode()).hexdigest():
            return None
        rows, found = json.loads(body)
        entries = [Entry(**dict(zip(names, row, strict=True))) for row in rows]
        turns = tuple(tuple((name, tuple(arguments)) for name, arguments in turn) for turn in found)
        return StepIndex(digest=head["digest"], entries=entries, turns=turns)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(path: Path, settings: StepSettings, action_format: ActionFormat, tools_of_data: bool) -> str | None:
    """Return a digest of everything that the index depends on; None if it is not to be saved.

    It is not saved for a format from elsewhere, whose code may change without our seeing it.
    """
    state = path.stat()
    syntaxes: Mapping[type[object], str] = {syntax: name for name, syntax in SYNTAXES.items()}
    if state.st_size < WORTH_KEEPING or type(action_format.syntax) not in syntaxes:
        return None
    tools = {name: list(arguments) for name, arguments in action_format.tools.items()}
    parts = [
        SCHEMA_VERSION,
        _code_digest(),
        [state.st_size, state.st_mtime_ns, state.st_ctime_ns],
        [action_format.name, None if tools_of_data else list(tools.items())],
        asdict(settings),
    ]
    return sha256(json.dumps(parts).encode()).hexdigest()


@cache
def _code_digest() -> str:
    """Return a digest of the packages that read, render and select steps."""
    digest = sha256()
    for package in (trajectories, srl_agent):
        for file in sorted(Path(package.__path__[0]).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
