"""RLVR on SWE tasks: real containers inside training, and an engine that goes away in the middle of it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.evaluation.test_evaluate import proxy
from tests.tiny_runs import ROOT, whole_lines

pytestmark = pytest.mark.usefixtures("image")


def recipe(folder: Path, model: Path, **changes: Any) -> Path:
    table = {
        "name": "run",
        "output": str(folder),
        "stages": ["rlvr"],
        "data": {"path": "demo", "validation_fraction": 0.1, "validation_steps": 2, "train_steps": 2},
        "model": {"name": str(model)},
        "validation": {"steps": False, "outcome_max_new_tokens": 4},
        "outcomes": {
            "domain": "swe",
            "tasks": {"ids": ["demo__calc-1", "demo__router-1", "demo__semver-1"]},
            "validation_fraction": 0.3,
            "retries": 0,
            "workers": 2,
            "limits": {"memory_gb": 1, "test_seconds": 60},
        },
        "rlvr": {
            "sampling": {"max_rounds": 2},
            "trl": {
                "max_steps": 3,
                "save_steps": 3,
                "num_generations": 4,
                "per_device_train_batch_size": 4,
                "max_completion_length": 2000,
                "learning_rate": 1e-3,
                "use_cpu": True,
            },
        },
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(table))
    return path


def train(path: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scripted_sampler", str(path)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_tests_in_containers_are_the_reward(tiny_model: Path, tmp_path: Path) -> None:
    process = train(recipe(tmp_path, tiny_model))
    _, told = process.communicate(timeout=250)
    assert process.returncode == 0, told[-3000:]
    groups = whole_lines(tmp_path / "run/samples.jsonl")
    assert [group["step"] for group in groups if group["kept"]] == [1, 2, 3]
    assert {group["stage"] for group in groups} == {"rlvr"}
    for group in groups:
        assert [completion["reward"] for completion in group["completions"]] == [1.0, 1.0, 0.0, 0.0]
        assert [completion["format_error"] for completion in group["completions"]] == [
            None,
            None,
            "no edit",
            "no edit",
        ]
    updates = [row for row in whole_lines(tmp_path / "run/metrics.jsonl") if row["kind"] == "train"]
    assert [row["step"] for row in updates] == [1, 2, 3]
    assert all(row["grad_norm"] > 0 for row in updates)
    answers = whole_lines(tmp_path / "run/outcomes.jsonl")
    assert {(row["stage"], row["reason"]) for row in answers} == {
        ("base", "empty_patch"),
        ("rlvr", "empty_patch"),
    }


def test_an_engine_that_goes_away_masks_the_group_and_training_goes_on(
    tiny_model: Path, tmp_path: Path
) -> None:
    way = tmp_path / "engine.sock"
    cut = proxy(way)
    process = train(recipe(tmp_path, tiny_model), DOCKER_HOST=f"unix://{way}", CUT=str(cut.pid), WAY=str(way))
    metrics = tmp_path / "run/metrics.jsonl"

    def updates() -> list[dict[str, Any]]:
        return [row for row in whole_lines(metrics) if row["kind"] == "train"] if metrics.exists() else []

    while len(updates()) < 2 and process.poll() is None:
        time.sleep(0.05)
    cut.wait()
    again = proxy(way)
    _, told = process.communicate(timeout=250)
    again.kill()
    again.wait()
    assert process.returncode == 0, told[-3000:]
    groups = whole_lines(tmp_path / "run/samples.jsonl")
    lost = [group for group in groups if group["step"] == 2]
    assert lost
    assert {group["reason"] for group in lost} == {"fewer than two judged completions"}
    assert all(completion["reward"] is None for group in lost for completion in group["completions"])
    assert [group["step"] for group in groups if group["kept"]] == [1, 3]
    first, second, third = updates()
    assert second["grad_norm"] == 0
    assert first["grad_norm"] > 0
    assert third["grad_norm"] > 0
