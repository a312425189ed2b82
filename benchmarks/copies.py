"""Shared by the benchmarks of data: real trajectories replicated with fresh ids, and a measurement in its own process.

Copies of a trajectory are as long as it is, so that the figures of many are figures of real ones.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from harness.demo import expert_path
from trajectories.ledger import FileLedger
from trajectories.readers import READERS
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.sources.documents import Document, read_documents
from trajectories.sources.paths import find_files, is_candidate

_SPREAD = ("claude-code", "openhands-sdk")  # one trajectory is several documents
_IDS = ("trajectory_id", "traj_id", "instance_id")
_MARK = "@copy@"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Original:
    """A document that holds trajectories."""

    text: str  # JSON, with a mark behind its ids
    trajectories: int

    def copy(self, number: int) -> str:
        return self.text.replace(_MARK, f".copy{number}")


def read_originals(source: Path) -> list[Original]:
    """The documents of a file or folder that trajectories are read from; the others are left out."""
    found = []
    for path in find_files([source]):
        if path != source and not is_candidate(path.name):
            continue
        for item in read_documents(path):
            if isinstance(item, Document) and (kept := _trajectories(item)):
                found.append(Original(text=_dump(_marked(item.value)), trajectories=kept))
    if not found:
        raise SystemExit(f"{source}: no trajectory to replicate")
    return found


def _dump(value: Any) -> str:
    """Text as it was, unless it cannot be encoded."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


def _trajectories(document: Document) -> int:
    try:
        name = detect(document.value).name
        if name in _SPREAD:
            raise SystemExit(f"{document.position}: trajectories of {name} are several documents each")
        return sum(1 for _ in READERS[name](document, FileLedger(document.origin, name)))
    except (UnknownFormat, LookupError, TypeError, ValueError, AttributeError):
        return 0


def _marked(value: Any) -> Any:
    if not isinstance(value, dict):
        return value  # its id is made from the name of the file and the line: it is fresh already
    ids = {key: f"{value[key]}{_MARK}" for key in _IDS if isinstance(value.get(key), str)}
    if isinstance(path := value.get("source_path"), str):  # TRAE's id is a folder of it
        ids["source_path"] = f"{PurePosixPath(path).parent}{_MARK}/{PurePosixPath(path).name}"
    return value | ids


def write_copies(originals: Sequence[Original], trajectories: int, path: Path) -> int:
    """JSON Lines with at least so many trajectories, the originals in turn. Returns the number."""
    written = 0
    with path.open("w", encoding="utf-8") as out:
        for original, number in _in_turn(originals):
            if written >= trajectories:
                return written
            out.write(original.copy(number) + "\n")
            written += original.trajectories
    raise AssertionError("there is always another copy")


def _in_turn(originals: Sequence[Original]) -> Iterator[tuple[Original, int]]:
    for number in count(1):
        for original in originals:
            yield original, number


def data_parser(description: str) -> argparse.ArgumentParser:
    """The arguments of a benchmark of data: what is replicated, to which sizes, and what :func:`measured` says."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", type=Path, default=expert_path())
    parser.add_argument("--sizes", nargs="+", type=int, default=[50, 500, 5000], help="trajectories")
    parser.add_argument("--only", choices=("stock", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    return parser


def measured(script: str, *words: object) -> dict[str, Any]:
    """The JSON object that a script prints last, run in a process of its own that is told when it was started."""
    command = [sys.executable, script, *map(str, words), "--started", str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak_megabytes() -> float:
    """Peak resident memory of this process. That of ``getrusage`` would count what the process that forked it had."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status names no peak memory")
