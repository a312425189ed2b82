"""Run the real commands on a tiny model, in separate processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.fork_server import run_python

ROOT = Path(__file__).parent.parent


def recipe(folder: Path, model_folder: Path, **changes: object) -> Path:
    table = {
        "name": "run",
        "output": str(folder),
        "stages": ["sft", "srl"],
        "data": {"path": "demo", "validation_fraction": 0.1, "validation_steps": 6, "train_steps": 40},
        "steps": {"context_window": 0, "max_action_chars": 200},
        "model": {"name": str(model_folder)},
        "rewards": [{"name": "tests.plugin_rewards:letters_of_even_steps"}],
        "validation": {"max_new_tokens": 6},
        "sft": {
            "trl": {
                "max_steps": 6,
                "save_steps": 2,
                "per_device_train_batch_size": 2,
                "learning_rate": 1e-3,
                "use_cpu": True,
            }
        },
        "srl": {
            "sampling": {"epsilon": 1e-6, "max_rounds": 6},
            "trl": {
                "max_steps": 6,
                "save_steps": 2,
                "num_generations": 4,
                "per_device_train_batch_size": 8,
                "steps_per_generation": 2,
                "max_completion_length": 8,
                "learning_rate": 1e-3,
                "use_cpu": True,
            },
        },
        **changes,
    }
    path = folder / "recipe.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(table))
    return path


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "harness.train", *words]


def run(*words: str, slow: float = 0.0) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "harness.train", *words, env={"SLOW_REWARD": str(slow)})


def launched(processes: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``module argument…`` in a number of processes, with one thread each."""
    launch = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run(
        [sys.executable, "-m", *launch, "-m", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def whole_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
