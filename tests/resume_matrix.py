"""Run all stages whole, and again from the middle of each; print whether the weights differ: ``FOLDER MODEL CASE…``.

A case is ``full`` or ``lora``, the coefficient of the KL term, and the micro-batches of an update: ``lora,0.1,2``.
The run from the middle is what a kill after the first checkpoint of every stage would leave: later checkpoints, and the
results of the stages, are not there. Prints a line of JSON for each case: the greatest difference of a weight by stage.
"""

import json
import shutil
import sys
from pathlib import Path
from unittest.mock import patch

import yaml
from accelerate import PartialState
from safetensors.torch import load_file

import tests.scripted_sampler  # noqa: F401  its import puts a script in the place of the sampler
from harness.train import main

STAGES = ("sft", "srl", "rlvr")


def recipe(folder: Path, model: str, case: str) -> Path:
    weights, beta, accumulated = case.split(",")
    trl = {
        "max_steps": 2,
        "save_steps": 1,
        "eval_strategy": "no",
        "save_total_limit": 3,
        "learning_rate": 1e-3,
        "gradient_accumulation_steps": int(accumulated),
        "use_cpu": True,
    }
    grpo = {
        **trl,
        "beta": float(beta),
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "max_completion_length": 24,
    }
    table = {
        "name": "whole",
        "output": str(folder),
        "stages": list(STAGES),
        "data": {
            "path": "math-demo",
            "split_by": "instance",
            "validation_count": 6,
            "validation_steps": 2,
            "train_steps": 12,
        },
        "actions": {"format": "math-step"},
        "model": {"name": model, "lora": {"r": 4} if weights == "lora" else None},
        "validation": {"max_new_tokens": 2, "outcome_max_new_tokens": 2, "base": False},
        "outcomes": {"validation_tasks": 2, "workers": 1},
        "sft": {"keep": "last", "trl": {**trl, "per_device_train_batch_size": 2}},
        "srl": {"keep": "last", "trl": grpo},
        "rlvr": {"keep": "last", "trl": grpo},
    }
    path = folder / "recipe.yaml"
    if PartialState(cpu=True).is_main_process:
        folder.mkdir(parents=True)
        path.write_text(yaml.safe_dump(table))
    PartialState().wait_for_everyone()
    return path


def cut(whole: Path) -> Path:
    copy = whole.with_name("cut")
    if PartialState().is_main_process:
        shutil.copytree(whole, copy)
        for stage in STAGES:
            (copy / f"checkpoints/{stage}/best.json").unlink()
            shutil.rmtree(copy / f"checkpoints/{stage}/checkpoint-2")
    PartialState().wait_for_everyone()
    return copy


def difference(one: Path, other: Path) -> float:
    (name,) = {path.name for path in one.glob("*model.safetensors")}
    left, right = load_file(one / name), load_file(other / name)
    assert left.keys() == right.keys()
    return max(float((left[key] - right[key]).abs().max()) for key in left)


def change(run: Path, stage: str) -> float:
    """Return how far the second update moved the weights."""
    folder = run / f"checkpoints/{stage}"
    return difference(folder / "checkpoint-1", folder / "checkpoint-2")


def compare(folder: Path, model: str, case: str) -> None:
    assert main([str(recipe(folder, model, case))]) == 0
    again = cut(folder / "whole")
    assert main(["--resume", str(again)]) == 0
    if PartialState().is_main_process:
        ends = [
            [run / f"checkpoints/{stage}/checkpoint-2" for stage in STAGES]
            for run in (folder / "whole", again)
        ]
        found = {
            stage: difference(*pair) for stage, pair in zip(STAGES, zip(*ends, strict=True), strict=True)
        }
        learned = {stage: change(folder / "whole", stage) for stage in STAGES}
        assert all(learned.values()), learned
        print(json.dumps({"case": case, "differences": found}), flush=True)
    PartialState().wait_for_everyone()


if __name__ == "__main__":
    with patch("harness.training.run.report_runs"):  # what is compared is the weights
        for number, case in enumerate(sys.argv[3:]):
            compare(Path(sys.argv[1]) / str(number), sys.argv[2], case)
