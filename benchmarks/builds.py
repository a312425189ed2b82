"""Two builds at the same work: the demo's training run, and one SRL update of it at equal tokens.

    python benchmarks/builds.py update [--baseline 403be40] [--turns 3]
    python benchmarks/builds.py update --prompts 16 --micro-batch 8 --last-layers 10    # the demo's update of today
    python benchmarks/builds.py train [--baseline 403be40] [--busy 2] [--seed 0]

The baseline is checked out into a temporary folder and runs in this Python, so that only our code differs. ``train``
runs the baseline's demo recipe in both builds, with ``--busy`` processes beside it that keep a core busy each.
``update`` samples completions of a fixed length from that recipe's prompts, scores them and makes an update: the tokens
and the layers with adapters are equal; both builds take turns, each turn in a process of its own. The last line is one
JSON object; ratios are the baseline's over ours.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.cli import positive

ROOT = Path(__file__).resolve().parent.parent
DEMO = "harness/recipes/train/demo.yaml"


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A build of this repository in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "build"
        git = ["git", "-C", str(ROOT), "worktree"]
        added = subprocess.run([*git, "add", "--detach", "--quiet", str(path), commit], check=False)
        if added.returncode:
            raise SystemExit(f"--baseline {commit}: git has no such commit here")
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Start processes that keep a core busy each; end them afterwards."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def run_in(build: Path, words: Sequence[str]) -> tuple[float, float, str]:
    """Seconds, peak megabytes of the process, and what a command of a build printed."""
    environment = {**os.environ, "PYTHONPATH": str(build)}
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=build,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        if status:
            errors.seek(0)
            raise SystemExit(f"{errors.read()[-2000:]}\n{' '.join(words)} in {build} failed")
    return seconds, usage.ru_maxrss / 1024, printed


def compare_runs(builds: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """The whole training run of each build, one after the other."""
    recipe = builds["baseline"] / DEMO
    found: dict[str, Any] = {"busy": options.busy, "seed": options.seed}
    with tempfile.TemporaryDirectory() as output, busy(options.busy):
        for name, build in builds.items():
            words = [
                "-m",
                "harness.train",
                str(recipe),
                f"seed={options.seed}",
                f"output={output}",
                f"name={name}",
            ]
            seconds, megabytes, _ = run_in(build, words)
            found[name] = {"seconds": round(seconds, 1), "peak_megabytes": round(megabytes)}
            print(f"{name}: {seconds:.1f} s, {megabytes:.0f} MB", flush=True)
    found["ratio"] = round(found["baseline"]["seconds"] / found["ours"]["seconds"], 2)
    return found


def compare_updates(builds: dict[str, Path], options: argparse.Namespace) -> dict[str, Any]:
    """Medians over turns and updates, builds in turn."""
    words = [__file__, "measure", "--group", str(options.group), "--prompts", str(options.prompts)]
    words += ["--tokens", str(options.tokens), "--recipe", str(builds["baseline"] / DEMO)]
    words += ["--micro-batch", str(options.micro_batch)]
    words += ["--adapters", adapters(options.last_layers)] if options.last_layers else []
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in builds}
    with busy(options.busy):
        for _ in range(options.turns):
            for name, build in builds.items():
                measured = json.loads(run_in(build, words)[2].splitlines()[-1])
                turns[name] += measured["updates"]
                print(
                    f"{name}: "
                    + ", ".join(f"{u['sample']:.1f}+{u['train']:.1f} s" for u in measured["updates"]),
                    flush=True,
                )
    found: dict[str, Any] = {
        "prompts": options.prompts, "group": options.group, "tokens": options.tokens,
        "micro_batch": options.micro_batch, "last_layers": options.last_layers, "busy": options.busy,
        "updates": len(turns["ours"]),
    }  # fmt: skip
    for part in ("sample", "train", "update"):
        medians = {
            name: statistics.median(
                u["sample"] + u["train"] if part == "update" else u[part] for u in updates
            )
            for name, updates in turns.items()
        }
        found[part] = {name: round(seconds, 2) for name, seconds in medians.items()}
        found[part]["ratio"] = round(medians["baseline"] / medians["ours"], 2)
    return found


def measure(options: argparse.Namespace) -> None:
    """Updates of the build that is imported here; prints their seconds."""
    from harness import cli

    if hasattr(cli, "set_cpu_variables"):  # what the commands of this build do before torch is imported
        cli.set_cpu_variables()
    import torch

    pieces = options.prompts * options.group // options.micro_batch
    overrides = [
        "srl.sampling.epsilon=-1", "srl.sampling.max_rounds=1", f"srl.trl.num_generations={options.group}",
        f"srl.trl.per_device_train_batch_size={options.micro_batch}",
        f"srl.trl.gradient_accumulation_steps={pieces}",
        f"srl.trl.max_completion_length={options.tokens}", "srl.trl.max_steps=2", "stages=[sft, srl]",
        *([f"model.lora={options.adapters}"] if options.adapters else []),
    ]  # fmt: skip
    make = srl_trainer if find_spec("harness.training") else srl_trainer_of_the_old_layout
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(options.recipe, overrides, Path(folder))
        with torch.no_grad():
            for name, parameter in trainer.model.named_parameters():
                if "lora_B" in name:  # zero at the start: the adapter has to do something
                    parameter.normal_(std=0.01)
        for part in (trainer, trainer.model, trainer.model.get_base_model()):
            part.generation_config.eos_token_id = None  # completions of equal length
        trainer.create_optimizer()
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = pieces
        batch = next(iter(trainer.get_train_dataloader()))
        updates = [one_update(trainer, batch, pieces) for _ in range(4)][1:]  # the first one is slow once
    print(json.dumps({"updates": updates}))


def srl_trainer(recipe_path: str, overrides: Sequence[str], folder: Path) -> Any:
    """The trainer of a recipe's SRL stage, by the modules of today."""
    from harness.config.load import load_recipe
    from harness.console import Console
    from harness.run_folder import RunFolder
    from harness.training.context import PolicyState, StageContext
    from harness.training.inputs import load_inputs
    from harness.training.run import quiet_libraries
    from harness.training.sampling import recipe_chat, recipe_sampling
    from harness.training.stage import make_trainer
    from harness.training.validation import Validator
    from srl_agent.models.packaged import resolve_model

    quiet_libraries()
    recipe = load_recipe(recipe_path, overrides)
    inputs, run, console = load_inputs(recipe), RunFolder(folder), Console(enabled=False)
    model = resolve_model(recipe.model.name)
    chat = recipe_chat(recipe, model)
    validator = Validator(
        data=inputs.data, rewards=inputs.rewards, settings=recipe.validation, chat=chat,
        sampling=recipe_sampling(recipe), run=run, console=console,
    )  # fmt: skip
    context = StageContext(inputs=inputs, validator=validator, chat=chat, run=run, console=console)
    return make_trainer("srl", PolicyState(model=model), context)


def srl_trainer_of_the_old_layout(recipe_path: str, overrides: Sequence[str], folder: Path) -> Any:
    """The same of a build whose modules lay directly in ``harness``, as in 403be40."""
    modules = {
        name: import_module(f"harness.{name}")
        for name in (
            "config",
            "console",
            "run_folder",
            "stages",
            "stages.run",
            "step_data",
            "train",
            "validation",
        )
    }
    models = import_module("srl_agent.models")
    modules["train"]._quiet_libraries()
    recipe = modules["config"].load_recipe(recipe_path, overrides)
    data = modules["step_data"].load_step_data(recipe)
    model = models.resolve_model(recipe.model.name)
    tokenizer = models.load_tokenizer(model)
    shared = {
        "data": data,
        "rewards": modules["step_data"].make_rewards(recipe, data.action_format),
        "tokenizer": tokenizer,
        "run": modules["run_folder"].RunFolder(folder),
        "teller": modules["console"].Teller(speaks=False),
    }
    validator = modules["validation"].Validator(settings=recipe.validation, **shared)
    context = modules["stages"].StageContext(recipe=recipe, validator=validator, outcomes=None, **shared)
    return modules["stages.run"]._make_trainer("srl", modules["stages"].PolicyState(model=model), context)


def adapters(last: int) -> str:
    """A table of adapters on the last layers of the demo's model, which both builds read alike."""
    from transformers import AutoConfig

    from srl_agent.models.packaged import resolve_model

    layers = AutoConfig.from_pretrained(resolve_model("smollm2-135m-instruct")).num_hidden_layers
    pattern = rf".*\.layers\.({'|'.join(map(str, range(layers - last, layers)))})\..*_proj"
    return json.dumps({"r": 16, "target_modules": pattern})


def one_update(trainer: Any, batch: Any, pieces: int) -> dict[str, float]:
    """Sample and score all completions, then the backward passes of the micro-batches and a step of the optimizer."""
    started = time.perf_counter()
    tokens, sampled = 0, 0.0
    for _ in range(pieces):
        inputs = trainer._prepare_inputs(batch)  # the first one of an update samples for all of them
        sampled = sampled or time.perf_counter()
        trainer._compute_loss(trainer.model, inputs).backward()
        trainer._step += 1
        tokens += int(inputs["completion_mask"].sum())
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return {
        "sample": sampled - started,
        "train": time.perf_counter() - sampled,
        "tokens": tokens,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--baseline", default="403be40", help="commit to compare with")
    common.add_argument("--busy", type=int, default=0, help="processes beside it that keep a core busy")
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument("--prompts", type=positive, default=2, help="of an update")
    size.add_argument("--group", type=positive, default=8, help="completions a prompt")
    size.add_argument("--tokens", type=positive, default=80, help="of each completion")
    size.add_argument("--micro-batch", type=positive, help="rows of a backward pass (all of the update's)")
    train = commands.add_parser("train", parents=[common], help="the demo's training run in both builds")
    train.add_argument("--seed", type=int, default=0)
    update = commands.add_parser("update", parents=[common, size], help="an SRL update at equal tokens")
    update.add_argument("--turns", type=positive, default=3, help="processes of each build")
    update.add_argument("--last-layers", type=positive, help="number of layers with adapters (all)")
    measured = commands.add_parser("measure", parents=[size])
    measured.add_argument("--recipe", required=True)
    measured.add_argument("--adapters", help="the table model.lora")
    options = parser.parse_args()
    if options.command == "measure":
        measure(options)
        return
    if options.busy < 0:
        parser.error("--busy: 0 or a number of processes")
    if options.command == "update":
        rows = options.prompts * options.group
        options.micro_batch = options.micro_batch or rows
        if rows % options.micro_batch or options.micro_batch % options.group:
            parser.error(
                f"--micro-batch {options.micro_batch}: whole groups of {options.group}, a divisor of {rows} rows"
            )
    with checkout(options.baseline) as baseline:
        builds = {"baseline": baseline, "ours": ROOT}
        compare = compare_runs if options.command == "train" else compare_updates
        print(json.dumps(compare(builds, options)))


if __name__ == "__main__":
    main()
