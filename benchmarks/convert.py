"""Converting raw trajectories, by their number: ``harness.convert`` against the whole set in memory, in one run.

    python benchmarks/convert.py [SOURCE] [--sizes 50 500 5000] [--workers 2] [--repeats 3] [--baseline FOLDER]

SOURCE is a file or folder of trajectories of any format whose trajectories are one document each; without it, the
embedded demo's. They are replicated with fresh ids to each size, as one JSON Lines file in a temporary folder.

Stock is what people write by hand: ``json.loads`` of every line into a list, a list of trajectories made of it, and
``json.dumps`` of each. It is given our readers and our detection of formats, and both write the same bytes; but ours
streams, keeps a ledger, and has the store on the disk when it says so. ``--baseline`` is a checkout of another build,
whose ``harness.convert`` is run too. All take turns, each as a command of its own; seconds are the median of whole
commands, imports included. Peak memory is the largest sum of the resident memory of a command's processes, looked at
every 20 ms; pages that processes share count for each. The file was just written, so all read it from the page cache.
The last line is one JSON object; ratios are over ours.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from copies import data_parser, read_originals, write_copies

from harness.cli import positive
from trajectories.ledger import FileLedger
from trajectories.readers import READERS
from trajectories.readers.detect import detect
from trajectories.sources.documents import Document
from trajectories.store import to_json

ROOT = Path(__file__).resolve().parent.parent


def stock(source: Path, out: Path) -> None:
    with source.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    made, taken = [], Counter[str]()
    for number, row in enumerate(rows, 1):
        document = Document(value=row, origin=str(source), line=number)
        name = detect(row).name
        for trajectory in READERS[name](document, FileLedger(str(source), name)):
            wanted = trajectory.trajectory_id
            taken[wanted] += 1
            made.append(to_json(trajectory))
            if taken[wanted] > 1:  # the format says the id in a place that copies.py does not know
                made[-1]["trajectory_id"] = f"{wanted}~{taken[wanted]}"
    with out.open("w", encoding="utf-8") as file:
        for row in made:
            file.write(json.dumps(row) + "\n")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One command."""

    seconds: float
    peak_megabytes: float


def measure(command: Sequence[object], build: Path) -> Measured:
    """Run a command with the code of this build."""
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(build)}
    words = [sys.executable, *map(str, command)]
    process = subprocess.Popen(words, cwd=build, env=environment, stdout=subprocess.DEVNULL)
    peak = 0
    while True:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            peak = max(peak, sum(map(_resident, (parent, *parent.children(recursive=True)))))
        with suppress(subprocess.TimeoutExpired):
            if process.wait(timeout=0.02):
                raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
            return Measured(seconds=time.perf_counter() - started, peak_megabytes=peak / 2**20)


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0


def compare(source: Path, trajectories: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    megabytes = source.stat().st_size / 1e6
    row: dict[str, Any] = {"trajectories": trajectories, "megabytes": round(megabytes, 1)}
    convert = ("-m", "harness.convert", source, "--force", "--no-card", "--out")
    workers = ("--workers", options.workers) if options.workers else ()
    commands: dict[str, tuple[Path, tuple[object, ...]]] = {
        "stock": (ROOT, (__file__, source, "--only", "stock", "--out", folder / "stock.jsonl")),
        "ours": (ROOT, (*convert, folder / "ours.jsonl", *workers)),
    }
    if options.baseline:
        commands["baseline"] = (options.baseline.resolve(), (*convert, folder / "baseline.jsonl"))
    found: dict[str, list[Measured]] = {kind: [] for kind in commands}
    for _ in range(options.repeats):
        for kind, (build, command) in commands.items():
            found[kind].append(measure(command, build))
    assert cmp(folder / "stock.jsonl", folder / "ours.jsonl", shallow=False), "the stores differ"
    for kind, runs in found.items():
        seconds = median(run.seconds for run in runs)
        row[kind] = {
            "seconds": round(seconds, 2),
            "runs": [round(run.seconds, 2) for run in runs],
            "peak_megabytes": round(max(run.peak_megabytes for run in runs)),
            "megabytes_per_second": round(megabytes / seconds, 1),
        }
    for kind in found.keys() - {"ours"}:
        for name in ("seconds", "peak_megabytes"):
            row[f"{kind}_{name}_ratio"] = round(row[kind][name] / row["ours"][name], 2)
    return row


def main() -> None:
    parser = data_parser(__doc__)
    parser.add_argument("--workers", type=positive, help="default: as harness.convert decides")
    parser.add_argument("--repeats", type=positive, default=1)
    parser.add_argument("--baseline", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        stock(options.source, options.out)
        return
    originals = read_originals(options.source)
    print(f"{len(originals)} documents of {options.source.name}, replicated")
    print(f"{'trajectories':>12} {'MB':>8}  {'':8} {'seconds':>8} {'MB/s':>7} {'peak MB':>8}")
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "copies.jsonl"
            row = compare(source, write_copies(originals, size, source), Path(folder), options)
        rows.append(row)
        for kind in ("stock", "baseline", "ours"):
            if found := row.get(kind):
                print(
                    f"{row['trajectories']:12d} {row['megabytes']:8.1f}  {kind:8} {found['seconds']:8.2f} "
                    f"{found['megabytes_per_second']:7.1f} {found['peak_megabytes']:8d}",
                    flush=True,
                )
    print(json.dumps({"benchmark": "convert", "source": options.source.name, "sizes": rows}))


if __name__ == "__main__":
    main()
