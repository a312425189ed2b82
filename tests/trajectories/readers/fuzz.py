"""Broken files for every reader: ``python -m tests.trajectories.readers.fuzz 10000 [first seed]`` reports what crashed.

A case is a file made from a seed by a few random changes. What must hold of any file: no exception; a ledger that adds
up and says something of each document; trajectories of the right types that every writer can write.
"""

import json
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.trajectories.seeds import SEEDS
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import GROUPED, read_trajectories_of
from trajectories.schema_check import check_schema
from trajectories.sources.documents import read_documents
from trajectories.store import from_json, to_json
from trajectories.types import JSON
from trajectories.vocabulary import canonical, original
from trajectories.writers import WRITERS

FORMATS = tuple(SEEDS)
LIMIT = 200_000  # bytes of a document: small enough for huge ones to be over it


@dataclass(frozen=True, kw_only=True)
class Case:
    """A broken file, and the format that it is read as: detected from the content, or named."""

    number: int
    content: bytes
    named: str | None


def _deep(rng: random.Random) -> str:
    """Return a placeholder for nested levels, replaced in the text, since deep values cannot be copied or dumped."""
    return f"@{rng.choice((50, 98, 150, 400, 900, 960))}@"


def _deepened(match: re.Match[bytes]) -> bytes:
    pairs = int(match[1]) // 2
    return b'[{"content": ' * pairs + b'"x"' + b"}]" * pairs


_WRONG: tuple[Callable[[random.Random], JSON], ...] = (
    lambda rng: None,
    lambda rng: rng.choice((0, -1, 7, 1.5, 10**30, True, False)),
    lambda rng: rng.choice(("", " ", "\ud800", "\x00", "a\r\nb", "é\u2028😀", "</function>", "{}", "[1]", "x" * 9999)),
    lambda rng: rng.choice(([], [None], [[]], [1, "a"], ["x"] * 500, [{}])),
    lambda rng: rng.choice(({}, {"": ""}, {"type": None}, {"role": "user"}, {"text": 5}, {"content": {}})),
    _deep,
    lambda rng: float(rng.choice(("inf", "nan"))),
)  # fmt: skip


def _places(value: JSON, found: list[tuple[JSON, JSON]]) -> list[tuple[JSON, JSON]]:
    """Return (holder, key) of every value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in list(keys):
        found.append((value, key))
        _places(value[key], found)
    return found


def _change(rng: random.Random, lines: list[JSON]) -> None:
    """Replace, delete, copy or move one value."""
    places = _places(lines, [])
    if not places:
        return
    holder, key = rng.choice(places)
    other_holder, other_key = rng.choice(places)
    what = rng.random()
    if what < 0.55:
        holder[key] = rng.choice(_WRONG)(rng)
    elif what < 0.7:
        del holder[key]
    elif what < 0.8:
        holder[key] = json.loads(json.dumps(other_holder[other_key]))
    elif isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        holder[str(other_key)] = json.loads(json.dumps(holder[key]))


def _damage(rng: random.Random, content: bytes) -> bytes:
    """Break the bytes of a file."""
    at = rng.randrange(len(content) + 1)
    return rng.choice(
        (
            content[:at],
            content[at:],
            content[:at] + bytes(rng.randrange(256) for _ in range(4)) + content[at:],
            content.replace(b"\n", b"\r\n"),
            b"\xef\xbb\xbf" + content,
            content.decode().encode("utf-16"),
            content.replace(b'{"', b'{"role": "user", "content": 5, "', 1),  # a key twice
            content[:at] + content[at // 2 :],
            b"[" * rng.choice((10, 500, 100_000)) + content,
            content[:at] + b"9" * 5000 + content[at:],
            content + b" " * LIMIT + content,
        )
    )


def make_case(number: int) -> Case:
    """Return the case of a number; the formats take turns."""
    rng = random.Random(number)
    name = FORMATS[number % len(FORMATS)]
    lines = json.loads(json.dumps(SEEDS[name]))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        _change(rng, lines)
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    content = re.sub(rb'"@(\d+)@"', _deepened, content)
    if rng.random() < 0.25:
        content = _damage(rng, content)
    return Case(number=number, content=content, named=rng.choice((None, None, name, rng.choice(FORMATS))))


def check(case: Case, folder: Path) -> Counter[str]:
    """Count what is kept, dropped or skipped of a case. Raises any error that should not have been raised."""
    path = folder / "case.jsonl"
    path.write_bytes(case.content)
    ledger = Ledger()
    read = read_trajectories_of([path], ledger, format_name=case.named, limit=LIMIT)
    found = [trajectory for trajectory, _ in read]
    ledger.to_json()
    total = ledger.total()
    assert total.trajectories.kept == len(found), "the ledger does not count what was given on"
    assert total.steps.kept == sum(len(trajectory.steps) for trajectory in found)
    items = len(list(read_documents(path, limit=LIMIT)))
    told = total.trajectories.read + total.skipped.total()
    # Of a grouped format many lines are one trajectory; of a file of no known format only the first one is reported.
    alone = case.named is not None and case.named not in GROUPED
    assert told >= (items if alone else 1), f"{items} lines, and the ledger tells of {told}"
    for trajectory in found:
        check_schema(trajectory)
        assert str(from_json(json.loads(json.dumps(to_json(trajectory))))) == str(trajectory)
        for writer in WRITERS.values():
            for row in writer(trajectory, Counter()):
                json.dumps(row)
        for action in (action for step in trajectory.steps for action in step.actions):
            if (call := canonical(action)) is not None:
                assert str(sorted(original(call).arguments.items())) == str(sorted(action.arguments.items()))
    return Counter(
        kept=total.trajectories.kept,
        dropped=total.trajectories.dropped.total(),
        skipped=total.skipped.total(),
    )


def main(count: int, first: int) -> int:
    outcomes: Counter[str] = Counter()
    crashes: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, first + count):
            try:
                outcomes += check(make_case(number), Path(folder))
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__}: {str(error)[:100]} at {where.filename}:{where.lineno}"
                crashes.setdefault(what, []).append(number)
    print(f"{count} files: {dict(outcomes)}; {sum(map(len, crashes.values()))} crashed")
    for what, numbers in crashes.items():
        print(f"{len(numbers)} x {what}; cases {numbers[:5]}")
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
