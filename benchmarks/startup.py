"""From the start of a process to its first training row, by the number of trajectories: ours against stock, in one run.

    python benchmarks/startup.py [SOURCE] [--sizes 50 500 5000] [--window 2]

SOURCE is a file or folder of trajectories of any format whose trajectories are one document each; without it, the
embedded demo's. It is replicated with fresh ids to each size and converted, in a temporary folder.

Ours is what ``harness.train`` does: split, selection of steps, and rows that are rendered when they are read; the first
start makes the pass over the file, the second finds its index. Stock is what TRL's users do:
``datasets.load_dataset("json")``, then ``map`` to one row a step with its prompt rendered, by the same renderer under
the same limits; the first start fills the cache of ``datasets``, the second finds it there. Arrow cannot hold
arguments of many shapes, so stock's file (not timed) has each trajectory as a string, as SWE-smith publishes them.
Each measurement is in a process of its own, imports are a column of their own, and peak memory is the whole process's.
The files were just written, so both read them from the page cache. The last line is one JSON object; ratios are stock
over ours.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import datasets
from copies import data_parser, measured, peak_megabytes, read_originals, write_copies

from harness.config.load import load_recipe
from harness.convert import main as convert
from harness.data.lazy_dataset import lazy_dataset
from harness.data.step_data import load_step_data
from srl_agent.formats import UnrepresentableActionError, get_format
from srl_agent.steps import StepSettings, render_example
from trajectories.store import from_json

MAX_ACTION_CHARS, MAX_PROMPT_CHARS, MAX_OBSERVATION_CHARS = 2000, 16000, 2000  # of swe_srl_small_gpu
STEPS_AT_ONCE = 100  # trajectories in a batch of stock's map: a thousand, its default, takes more memory


def ours(store: Path, window: str) -> tuple[int, Mapping[str, Any]]:
    """Number of rows, and the first."""
    changes = {
        "data.path": store, "data.split_by": "instance", "data.validation_steps": "null",
        "actions.tools": "trae", "steps.context_window": window,
        "steps.max_action_chars": MAX_ACTION_CHARS, "steps.max_prompt_chars": MAX_PROMPT_CHARS,
        "steps.max_observation_chars": MAX_OBSERVATION_CHARS,
    }  # fmt: skip
    data = load_step_data(load_recipe("swe_srl_small_gpu", [f"{k}={v}" for k, v in changes.items()]))
    rows = lazy_dataset(data.train, lambda ref: _row(data.example(ref)))
    return len(data.train) + len(data.validation), rows[0]


def stock(store: Path, window: str) -> tuple[int, Mapping[str, Any]]:
    """Number of rows, and the first."""
    settings = StepSettings(
        context_window=None if window == "full" else int(window),
        max_action_chars=MAX_ACTION_CHARS,
        max_prompt_chars=MAX_PROMPT_CHARS,
        max_observation_chars=MAX_OBSERVATION_CHARS,
    )
    datasets.disable_progress_bars()
    cache = str(store.parent / "cache")
    files = str(store.with_name("stock.jsonl"))
    source = datasets.load_dataset("json", data_files=files, split="train", cache_dir=cache)

    def rendered(batch: Mapping[str, list[str]]) -> dict[str, list[Any]]:
        rows = [row for text in batch["trajectory"] for row in _rendered(text, settings)]
        return {key: [row[key] for row in rows] for key in ("prompt", "expert_action")}

    rows = source.map(rendered, batched=True, batch_size=STEPS_AT_ONCE, remove_columns=source.column_names)
    return len(rows), rows[0]


def _rendered(text: str, settings: StepSettings) -> Iterator[dict[str, Any]]:
    trajectory, action_format = from_json(json.loads(text)), get_format("xml", "trae")
    acting = [index for index, step in enumerate(trajectory.steps) if step.actions]
    for index in acting[:-1]:  # the last one is never a target
        if not trajectory.steps[index].target:
            continue
        try:
            row = _row(render_example(trajectory, index, settings=settings, action_format=action_format))
        except UnrepresentableActionError:
            continue
        chars = sum(len(message["content"]) for message in row["prompt"])
        if len(row["expert_action"]) <= MAX_ACTION_CHARS and chars <= MAX_PROMPT_CHARS:
            yield row


def _row(example: Any) -> dict[str, Any]:
    return {"prompt": example.prompt, "expert_action": example.expert_action}


def measure(kind: str, store: Path, window: str, started: float) -> dict[str, Any]:
    imported = time.time()
    rows, first = {"ours": ours, "stock": stock}[kind](store, window)
    assert first["prompt"][0]["role"] == "system"
    return {
        "import_seconds": round(imported - started, 2),
        "seconds": round(time.time() - imported, 3),
        "peak_megabytes": round(peak_megabytes()),
        "rows": rows,
    }


def compare(source: Path, trajectories: int, folder: Path, window: str) -> dict[str, Any]:
    store = folder / "expert.jsonl"
    with redirect_stdout(StringIO()):
        convert([str(source), "--out", str(store)])
    with store.open(encoding="utf-8") as lines, (folder / "stock.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps({"trajectory": line}) + "\n" for line in lines)
    row: dict[str, Any] = {
        "trajectories": trajectories,
        "megabytes": round(store.stat().st_size / 1e6, 1),
    }
    for start in ("first", "second"):
        for kind in ("stock", "ours"):
            row[f"{kind}_{start}"] = measured(__file__, store, "--only", kind, "--window", window)
    assert row["ours_first"]["rows"] == row["ours_second"]["rows"] == row["stock_first"]["rows"]
    for start in ("first", "second"):
        ratio = row[f"stock_{start}"]["seconds"] / row[f"ours_{start}"]["seconds"]
        row[f"{start}_ratio"] = round(ratio, 2)
    return row


def training_imports() -> float:
    """Seconds that a training run imports for, whatever its data."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, transformers, trl.trainer.grpo_trainer"], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = data_parser(__doc__)
    parser.add_argument("--window", default="2", help="(action, observation) pairs in a prompt, or full")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.source, options.window, options.started)))
        return
    originals = read_originals(options.source)
    imports = round(training_imports(), 1)
    print(f"{len(originals)} documents of {options.source.name}, replicated; context {options.window}")
    print(f"imports of torch, transformers and TRL, which a training run waits for first: {imports} s")
    print(f"{'trajectories':>12} {'MB':>7} {'rows':>8}  {'':12} {'imports':>8} {'seconds':>8} {'peak MB':>8}")
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "copies.jsonl"
            number = write_copies(originals, size, source)
            row = compare(source, number, Path(folder), options.window)
        rows.append(row)
        for name in ("stock_first", "ours_first", "stock_second", "ours_second"):
            found = row[name]
            print(
                f"{row['trajectories']:12d} {row['megabytes']:7.1f} {found['rows']:8d}  {name.replace('_', ', '):13}"
                f"{found['import_seconds']:8.2f} {found['seconds']:8.3f} {found['peak_megabytes']:8d}",
                flush=True,
            )
    print(
        json.dumps(
            {
                "benchmark": "startup",
                "source": options.source.name,
                "window": options.window,
                "training_import_seconds": imports,
                "sizes": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
