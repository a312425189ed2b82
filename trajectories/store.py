"""Trajectories on disk: JSON Lines, one trajectory and the schema version on every line."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from trajectories.pointers import unfetched
from trajectories.types import JSON, Action, JSONObject, Step, Trajectory

SCHEMA_VERSION = 1


class StoreError(ValueError):
    """A line of a store that cannot be read; the message names the file and the line."""


def to_json(trajectory: Trajectory) -> dict[str, JSON]:
    """Return the line of a trajectory as a JSON object; the inverse of :func:`from_json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "trajectory_id": trajectory.trajectory_id,
        "instance_id": trajectory.instance_id,
        "source": trajectory.source,
        "model": trajectory.model,
        "resolved": trajectory.resolved,
        "task": trajectory.task,
        "steps": [
            {
                "thought": step.thought,
                "actions": [{"name": a.name, "arguments": dict(a.arguments)} for a in step.actions],
                "observation": step.observation,
                **reasoning_of(step),
                **context_mark(step),
            }
            for step in trajectory.steps
        ],
        "patch": trajectory.patch,
        "metadata": dict(trajectory.metadata),
    }


def context_mark(step: Step) -> dict[str, bool]:
    """Return the mark of a step that is context only. Other steps have none, so that their lines stay short."""
    return {} if step.target else {"target": False}


def reasoning_of(step: Step) -> dict[str, str]:
    """Return the reasoning of a step that has some."""
    return {"reasoning": step.reasoning} if step.reasoning else {}


def from_json(row: JSONObject) -> Trajectory:
    """Return the trajectory of a row. Raises StoreError for another schema version or a missing field."""
    version = row.get("schema_version") if isinstance(row, Mapping) else None
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"schema_version is {version!r}, this release reads {SCHEMA_VERSION}: "
            "make the file anew with `python -m harness.convert`"
        )
    try:
        steps = tuple(
            Step(
                thought=step["thought"],
                actions=tuple(Action(name=a["name"], arguments=a["arguments"]) for a in step["actions"]),
                observation=step["observation"],
                reasoning=step.get("reasoning", ""),
                target=step.get("target", True),
            )
            for step in row["steps"]
        )
        return Trajectory(
            trajectory_id=row["trajectory_id"],
            instance_id=row["instance_id"],
            task=row["task"],
            steps=steps,
            source=row["source"],
            model=row.get("model"),
            resolved=row.get("resolved"),
            patch=row.get("patch"),
            metadata=row.get("metadata") or {},
        )
    except (KeyError, TypeError) as error:
        raise StoreError(f"not a trajectory: {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a store, unparsed."""

    number: int  # from 1
    offset: int  # in bytes
    text: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Yield every line, blank ones too."""
    offset = 0
    with path.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            yield Line(number=number, offset=offset, text=text)
            offset += len(text)


def parse_line(path: Path, line: Line) -> Trajectory:
    """Return the trajectory of a line. Raises StoreError naming file and line."""
    try:
        return from_json(json.loads(line.text))
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}:{line.number}: not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        what = unfetched(line.text) or f"not JSON: {error}"
        raise StoreError(f"{path}:{line.number}: {what}") from error
    except StoreError as error:
        raise StoreError(f"{path}:{line.number}: {error}") from error


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Stream a store, one trajectory in memory at a time. Raises StoreError naming file and line."""
    for line in read_lines(path):
        if line.text.strip():
            yield parse_line(path, line)


def read_trajectory(path: Path, *, number: int, offset: int) -> Trajectory:
    """Read the trajectory on the line that starts at this byte. Raises StoreError naming file and line."""
    with path.open("rb") as lines:
        lines.seek(offset)
        return parse_line(path, Line(number=number, offset=offset, text=lines.readline()))


def beside(store: Path, ending: str) -> Path:
    """Return the path of a file about a store, in the same folder. Only ``.jsonl`` is replaced.

    >>> beside(Path("v1.2.jsonl"), ".card.md").name, beside(Path("v1.2"), ".card.md").name
    ('v1.2.card.md', 'v1.2.card.md')
    """
    return store.with_name(store.name.removesuffix(".jsonl") + ending)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """Open a text file that appears under its name only if the block succeeds; else nothing is left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:  # around the opening too: Ctrl-C may come right after it
        with temporary.open("x", encoding="utf-8", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def dump_line(trajectory: Trajectory) -> str:
    """Return one line of the store with its newline. ASCII only: lone surrogates of broken sources survive."""
    return json.dumps(to_json(trajectory), ensure_ascii=True) + "\n"
