"""Trajectories on disk: JSON Lines, one trajectory a line, the schema version on every line."""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trajectories.types import Action, Step, Trajectory

SCHEMA_VERSION = 1


class StoreError(ValueError):
    """A line of a store that cannot be read; the message names the file and the line."""


def to_json(trajectory: Trajectory) -> dict[str, Any]:
    """The line of a trajectory as a JSON object; the inverse of :func:`from_json`."""
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
                **unlearned(step),
            }
            for step in trajectory.steps
        ],
        "patch": trajectory.patch,
        "metadata": dict(trajectory.metadata),
    }


def unlearned(step: Step) -> dict[str, bool]:
    """The mark of a step that is context only; any other has none, so that its line stays as it was."""
    return {} if step.target else {"target": False}


def from_json(row: Mapping[str, Any]) -> Trajectory:
    """Raises StoreError if the row is not of this schema version or lacks a field."""
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
    """A line of a store as it stands there."""

    number: int  # from 1
    offset: int  # in bytes
    text: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Every line, blank ones too."""
    offset = 0
    with path.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            yield Line(number=number, offset=offset, text=text)
            offset += len(text)


def parse_line(path: Path, line: Line) -> Trajectory:
    """Raises StoreError naming file and line."""
    try:
        return from_json(json.loads(line.text))
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}:{line.number}: not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise StoreError(f"{path}:{line.number}: not JSON: {error}") from error
    except StoreError as error:
        raise StoreError(f"{path}:{line.number}: {error}") from error


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """Stream a store, one trajectory in memory at a time. Raises StoreError naming file and line."""
    for line in read_lines(path):
        if line.text.strip():
            yield parse_line(path, line)


def read_trajectory(path: Path, *, number: int, offset: int) -> Trajectory:
    """The trajectory on the line that starts at this byte. Raises StoreError naming file and line."""
    with path.open("rb") as lines:
        lines.seek(offset)
        return parse_line(path, Line(number=number, offset=offset, text=lines.readline()))


def beside(store: Path, ending: str) -> Path:
    """A file about a store, in the same folder. Only ``.jsonl`` gives way: a name may hold other dots.

    >>> beside(Path("v1.2.jsonl"), ".card.md").name, beside(Path("v1.2"), ".card.md").name
    ('v1.2.card.md', 'v1.2.card.md')
    """
    return store.with_name(store.name.removesuffix(".jsonl") + ending)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name only when the block ends well; else nothing is left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:  # around the opening too: Ctrl-C may come right behind it
        with temporary.open("x", encoding="utf-8", newline="\n") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def dump_line(trajectory: Trajectory) -> str:
    """One line of the store, newline included. ASCII only: lone surrogates of broken sources survive."""
    return json.dumps(to_json(trajectory), ensure_ascii=True) + "\n"
