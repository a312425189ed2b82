"""Converting raw trajectories, by their number: ``harness.convert`` against the whole set in memory, in one run.

    python benchmarks/convert.py [SOURCE] [--sizes 50 500 5000]

SOURCE is a file or folder of trajectories of any format whose trajectories are one document each; without it, the
embedded demo's. They are replicated with fresh ids to each size, as one JSON Lines file in a temporary folder.

Stock is what people write by hand: ``json.loads`` of every line into a list, a list of trajectories made of it, and
``json.dumps`` of each. It is given our readers and our detection of formats, and both write the same bytes; but ours
streams, keeps a ledger, and has the store on the disk when it says so. Each measurement is in a process of its own;
seconds are without imports, peak memory is the whole process's. The file was just written, so both read it from the
page cache. The last line is one JSON object; ratios are stock over ours.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from contextlib import redirect_stdout
from filecmp import cmp
from io import StringIO
from pathlib import Path
from typing import Any

from copies import data_parser, measured, peak_megabytes, read_originals, write_copies

from harness.convert import main as convert
from trajectories.ledger import FileLedger
from trajectories.readers import READERS
from trajectories.readers.detect import detect
from trajectories.sources.documents import Document
from trajectories.store import to_json


def ours(source: Path, out: Path) -> None:
    with redirect_stdout(StringIO()):
        convert([str(source), "--out", str(out)])


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


def measure(kind: str, source: Path, out: Path) -> dict[str, Any]:
    started = time.perf_counter()
    {"ours": ours, "stock": stock}[kind](source, out)
    seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 3), "peak_megabytes": round(peak_megabytes())}


def compare(source: Path, trajectories: int, folder: Path) -> dict[str, Any]:
    megabytes = source.stat().st_size / 1e6
    row: dict[str, Any] = {"trajectories": trajectories, "megabytes": round(megabytes, 1)}
    for kind in ("stock", "ours"):
        found = measured(__file__, source, "--only", kind, "--out", folder / f"{kind}.jsonl")
        row[kind] = {**found, "megabytes_per_second": round(megabytes / found["seconds"], 1)}
    assert cmp(folder / "stock.jsonl", folder / "ours.jsonl", shallow=False), "the stores differ"
    for name in ("seconds", "peak_megabytes"):
        row[f"{name}_ratio"] = round(row["stock"][name] / row["ours"][name], 2)
    return row


def main() -> None:
    parser = data_parser(__doc__)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.source, options.out)))
        return
    originals = read_originals(options.source)
    print(f"{len(originals)} documents of {options.source.name}, replicated")
    print(f"{'trajectories':>12} {'MB':>8}  {'':6} {'seconds':>8} {'MB/s':>7} {'peak MB':>8}")
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "copies.jsonl"
            row = compare(source, write_copies(originals, size, source), Path(folder))
        rows.append(row)
        for kind in ("stock", "ours"):
            found = row[kind]
            print(
                f"{row['trajectories']:12d} {row['megabytes']:8.1f}  {kind:6} {found['seconds']:8.2f} "
                f"{found['megabytes_per_second']:7.1f} {found['peak_megabytes']:8d}",
                flush=True,
            )
    print(json.dumps({"benchmark": "convert", "source": options.source.name, "sizes": rows}))


if __name__ == "__main__":
    main()
