"""The demo's model with many times the demo's samples, on one GPU in at most 8 minutes, without a network.

    python benchmarks/gpu_study.py pack gpu-input [--steps data/trae.jsonl]      # on a machine with a network
    python benchmarks/gpu_study.py run gpu-input --out gpu_study.json            # on the machine with the GPU

``pack`` writes model and data as files of less than 60 MB each. ``run`` puts them together, trains over 3 seeds (SFT;
SFT for twice as long; SFT -> SRL with each reward, the structured one at two rates), all runs at once on one GPU, then
measures an update by ``benchmarks/update.py --device cuda`` if there are steps for it, and writes one JSON file: the
study's figures, the machine, seconds. What is not finished when the time is over is stopped and named.
``--device cpu --budget 0.05`` with a tiny model is a test of the script, not a measurement.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cli import UserError
from harness.config.load import apply_override

ROOT = Path(__file__).resolve().parent.parent
PIECE = 55 * 2**20  # bytes
MICRO_BATCH = 16  # rows; 24 took 17 GB a run, and nine runs of SRL did not fit into 140


def pack(folder: Path, model: str, steps: Path | None) -> None:
    """The model and the steps to measure updates on, as numbered pieces with a list of their digests."""
    from srl_agent.models.packaged import ModelError, resolve_model

    if steps is not None and not steps.is_file():
        raise SystemExit(f"--steps {steps}: no such file")
    try:
        model_folder = resolve_model(model)
    except ModelError as error:
        raise SystemExit(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "input.tar"
        with tarfile.open(whole, "w") as archive:
            archive.add(model_folder, "model")
            if steps is not None:
                archive.add(steps, "steps.jsonl")
        with whole.open("rb") as data:
            for number, part in enumerate(iter(lambda: data.read(PIECE), b"")):
                name = f"input.tar.{number:03d}"
                (folder / name).write_bytes(part)
                pieces[name] = hashlib.sha256(part).hexdigest()
    (folder / "pieces.json").write_text(json.dumps(pieces, indent=1) + "\n")
    print(f"{len(pieces)} pieces -> {folder}")


def unpack(folder: Path, target: Path) -> None:
    """Exit with a message if a piece is missing or damaged."""
    listed = folder / "pieces.json"
    if not listed.is_file():
        raise SystemExit(f"{folder}: no pieces.json; make the folder with `gpu_study.py pack`")
    whole = target / "input.tar"
    with whole.open("wb") as out:
        for name, digest in json.loads(listed.read_text()).items():
            if not (folder / name).is_file():
                raise SystemExit(f"{folder / name}: this piece is missing")
            part = (folder / name).read_bytes()
            if hashlib.sha256(part).hexdigest() != digest:
                raise SystemExit(f"{folder / name}: this piece is damaged; copy it again")
            out.write(part)
    with tarfile.open(whole) as archive:
        archive.extractall(target, filter="data")
    whole.unlink()


def study_arms(recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The model before training is the same for all: one arm evaluates it."""
    others = {"validation.base": False}
    longer = {key: 2 * recipe["sft"]["trl"][key] for key in ("max_steps", "save_steps")}
    return {
        "structured": {},
        "structured_fast": others | {"srl.trl.learning_rate": 3 * recipe["srl"]["trl"]["learning_rate"]},
        "similarity": others | {"rewards": [{"name": "similarity"}]},
        "sft_longer": others | {"stages": ["sft"]} | {f"sft.trl.{key}": n for key, n in longer.items()},
    }


def study_recipe(model: Path, output: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The demo's recipe with its budget of rows and samples multiplied; a GPU takes them in larger batches.

    Held out are all steps of the held-out repositories.
    """
    recipe = yaml.safe_load((ROOT / "harness/recipes/train/demo.yaml").read_text(encoding="utf-8"))
    budgets = {"sft": (options.sft_budget, options.sft_updates), "srl": (options.budget, options.updates)}
    for stage, (budget, updates) in budgets.items():
        trl = recipe[stage]["trl"]
        rows = (
            trl["max_steps"] * trl["per_device_train_batch_size"] * trl.get("gradient_accumulation_steps", 1)
        )
        group = trl.get("num_generations", 1)
        size = min(max(int(rows * budget / updates) // group, 1) * group, options.rows)
        steps = max(round(rows * budget / size), 1)
        micro = group * math.gcd(size // group, max(MICRO_BATCH // group, 1))
        trl |= {"per_device_train_batch_size": micro, "gradient_accumulation_steps": size // micro}
        trl |= {"max_steps": steps, "save_steps": max(steps // 2, 1)}
    for stage in ("sft", "srl"):
        # So small a model is bound by launches there: more calls of fewer tokens would not pay.
        recipe[stage]["share_prefixes"] = options.device == "cpu"
    recipe["data"]["validation_steps"] = None
    recipe["validation"]["batch_size"] = options.rows
    if options.device == "cpu":
        for stage in ("sft", "srl"):
            recipe[stage]["trl"]["use_cpu"] = True
    recipe |= {"name": "study", "output": str(output)}
    recipe["model"]["name"] = str(model)
    recipe["model"]["lora"].pop("last_layers", None)  # there is time for all layers
    recipe["stages"] = ["sft", "srl"]
    arms = study_arms(recipe)
    recipe["study"] = {"seeds": options.seeds, "parallel": len(arms) * len(options.seeds), "arms": arms}
    try:
        for override in options.set:
            apply_override(recipe, override)
    except UserError as error:
        raise SystemExit(f"--set {error}") from error
    return recipe


def run_limited(words: Sequence[str], seconds: float, log: Path, cwd: Path) -> int | None:
    """Exit code of a command, None if it was stopped at the limit with all that it started."""
    search = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=out, stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "2"},
        )  # fmt: skip
        try:
            return process.wait(timeout=max(seconds, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def finished_runs(study: Path) -> Iterator[tuple[str, int, Path]]:
    """(arm, seed, folder) of the runs that came to their end."""
    for manifest in sorted(study.glob("*-seed*/manifest.json")):
        table = json.loads(manifest.read_text(encoding="utf-8"))
        if table.get("status") == "finished":
            yield manifest.parent.name.rpartition("-seed")[0], table["seed"], manifest.parent


def machine(device: str) -> dict[str, Any]:
    import torch

    from harness.machine.describe import describe_machine

    about = describe_machine()
    if device == "cuda":
        about["gpu"] = torch.cuda.get_device_name()
    return about


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that there is time for; raises SystemExit if no run of the study came to its end."""
    from harness.reporting.read import read_run
    from harness.reporting.study import study_numbers

    started = time.monotonic()
    left = 60 * options.minutes
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        unpack(options.input, work)
        recipe = work / "study.yaml"
        recipe.write_text(
            yaml.safe_dump(study_recipe(work / "model", work / "outputs", options)), encoding="utf-8"
        )
        log = work / "log.txt"
        measures = (work / "steps.jsonl").exists()
        for_update = min(90.0, left / 4) if measures else 0.0
        code = run_limited(
            ["-m", "harness.train", str(recipe)], left - for_update - (time.monotonic() - started), log, work
        )
        folder = work / "outputs/study"
        done = list(finished_runs(folder))
        result: dict[str, Any] = {
            "machine": machine(options.device),
            "budget": options.budget,
            "study_seconds": round(time.monotonic() - started, 1),
            "study": {0: "finished", None: "stopped at the limit"}.get(code, f"failed with exit code {code}"),
            "finished": [f"{arm}-seed{seed}" for arm, seed, _ in done],
        }
        if not done:
            shutil.copy(log, options.out.with_suffix(".log"))
            raise SystemExit(
                f"no run came to its end ({result['study']}): see {options.out.with_suffix('.log')}"
            )
        result |= study_numbers([(arm, seed, read_run(path)) for arm, seed, path in done])
        result["wall_seconds"] = {
            path.name: json.loads((path / "manifest.json").read_text())["wall_seconds"] for _, _, path in done
        }
        if measures:
            result["update"] = measure_update(work, left - (time.monotonic() - started), options.device)
    return result


def measure_update(work: Path, seconds: float, device: str) -> Any:
    """The last line of benchmarks/update.py, or why there is none."""
    log = work / "update.txt"
    words = [str(ROOT / "benchmarks/update.py"), str(work / "steps.jsonl"), "--model", str(work / "model")]
    words += ["--device", device, "--steps", "2", "--prompt-tokens", "1500", "--task-chars", "1500"]
    code = run_limited(words, seconds, log, work)
    if code == 0:
        return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    why = "stopped at the limit" if code is None else f"failed with exit code {code}"
    return {"not_measured": why, "log": log.read_text(encoding="utf-8")[-2000:]}


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A type of argparse's."""

    def number(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text}: not above 0")
        return value

    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="write model and data as pieces below 60 MB")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--model", default="smollm2-135m-instruct", help="a packaged model, or a folder")
    packing.add_argument("--steps", type=Path, help="trajectories for benchmarks/update.py")
    running = commands.add_parser("run", help="train, measure, write one JSON file")
    running.add_argument("input", type=Path, help="a folder of `pack`")
    running.add_argument("--out", type=Path, default=Path("gpu_study.json"))
    running.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    # 8 minutes have time for nine such runs at once.
    running.add_argument(
        "--budget", type=positive(float), default=4.5, help="of SRL, times the demo's samples"
    )
    running.add_argument(
        "--updates", type=positive(int), default=22, help="that the budget of SRL is divided into"
    )
    # 336 rows. 1,120 were eight epochs of the 145 training steps that the demo once had: SFT knew them by heart, and of
    # five groups of SRL four had no spread.
    running.add_argument(
        "--sft-budget", type=positive(float), default=2.1, help="of SFT, times the demo's rows"
    )
    running.add_argument(
        "--sft-updates", type=positive(int), default=42, help="that the budget of SFT is divided into"
    )
    running.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="over the recipe, as in training"
    )
    running.add_argument("--rows", type=positive(int), default=256, help="of an update, at most")
    running.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    running.add_argument("--minutes", type=positive(float), default=8.0)
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.folder, options.model, options.steps)
        return
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise SystemExit("no CUDA device here; --device cpu with a small --budget tests the script")
    result = run(options)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['study']}, {len(result['finished'])} runs -> {options.out}")
    print(json.dumps({"out": str(options.out), "finished": result["finished"]}))


if __name__ == "__main__":
    main()
