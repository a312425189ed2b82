"""Which weights a stage ends with, and that a run goes on from a checkpoint as if nothing had happened."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.cli import UsageError
from harness.train import main
from tests.fork_server import run_python
from tests.tiny_runs import launched, recipe

# --- the weights that a stage ends with ------------------------------------------------------------------------

SFT = {
    "max_steps": 6,
    "save_steps": 2,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "use_cpu": True,
}


def run(folder: Path, model: Path, curve: dict[int, float], *, switch: Any = None, **trl: Any) -> None:
    """SFT whose held-out reward after each update is given; that of the start is 0.5."""
    known = {str(update): reward for update, reward in {0: 0.5, **curve}.items()}
    path = recipe(
        folder,
        model,
        stages=["sft"],
        rewards=[{"name": "tests.plugin_rewards:by_update", "settings": {"curve": known}}],
        validation={"max_new_tokens": 1},
        sft={"trl": {**SFT, **trl}, "switch": switch or {}},
        data={"path": "demo", "validation_fraction": 0.1, "validation_steps": 1, "train_steps": 4},
    )
    assert main([str(path)]) == 0


def end(folder: Path) -> Any:
    return json.loads((folder / "run/checkpoints/sft/best.json").read_text())


@pytest.mark.parametrize(
    ("settings", "curve", "best", "last"),
    [
        ({"eval_steps": 3}, {3: 0.9, 6: 0.1}, 3, 6),
        ({"eval_steps": 3, "save_total_limit": 2}, {3: 0.1, 6: 0.9}, 6, 6),
        (
            {"eval_steps": 1, "save_steps": 4, "switch": {"rule": "plateau", "patience": 1}},
            {1: 0.9, 2: 0.8},
            1,
            2,
        ),
        ({"save_strategy": "no", "eval_steps": 2}, {2: 0.6, 4: 0.9, 6: 0.1}, 4, 6),
        ({"save_strategy": "best", "eval_steps": 2}, {2: 0.9, 4: 0.8, 6: 0.7}, 2, 6),
        ({"save_strategy": "epoch", "eval_strategy": "epoch"}, {2: 0.6, 4: 0.9, 6: 0.8}, 4, 6),
        ({"save_steps": 4, "eval_strategy": "epoch"}, {2: 0.9, 4: 0.6, 6: 0.8}, 2, 6),
        ({"eval_strategy": "no"}, {6: 0.9}, 6, 6),
    ],
)
def test_a_stage_ends_with_the_best_weights_that_were_measured(
    tiny_model: Path, tmp_path: Path, settings: Any, curve: dict[int, float], best: int, last: int
) -> None:
    run(tmp_path, tiny_model, curve, **settings)
    found = end(tmp_path)
    assert (found["step"], found["improved"]) == (best, True)
    assert found["metrics"] == {"eval_step_reward": curve[best]}
    assert found["checkpoint"].endswith(f"checkpoint-{best}")
    assert found["final_checkpoint"].endswith(f"checkpoint-{last}")
    for checkpoint in (found["checkpoint"], found["final_checkpoint"]):
        assert (Path(checkpoint) / "model.safetensors").is_file()
        assert (Path(checkpoint) / "complete.json").is_file()
    rows = (tmp_path / "run/validation.jsonl").read_text().splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert len(steps) == len(set(steps))  # the end of an epoch and of a step is measured once


@pytest.mark.parametrize("settings", [{"eval_steps": 3}, {"save_strategy": "no", "eval_steps": 3}])
def test_weights_worse_than_the_start_are_not_handed_on(
    tiny_model: Path, tmp_path: Path, settings: Any
) -> None:
    run(tmp_path, tiny_model, {3: 0.4, 6: 0.3}, **settings)
    found = end(tmp_path)
    assert (found["checkpoint"], found["improved"]) == (None, False)
    assert found["metrics"]["eval_step_reward"] == 0.5
    assert (Path(found["final_checkpoint"]) / "model.safetensors").is_file()


def test_a_run_killed_before_its_result_was_written_ends_with_the_same(
    tiny_model: Path, tmp_path: Path
) -> None:
    run(tmp_path, tiny_model, {3: 0.9, 6: 0.1}, eval_steps=3, save_total_limit=9)
    folder = tmp_path / "run/checkpoints/sft"
    wanted = end(tmp_path)
    for lost in (
        (),
        ("checkpoint-6",),
        ("checkpoint-6", "checkpoint-4"),
        ("checkpoint-6", "checkpoint-4", "checkpoint-3"),
    ):
        (folder / "best.json").unlink()
        for name in lost:
            shutil.rmtree(folder / name)
        assert main(["--resume", str(tmp_path / "run")]) == 0
        assert end(tmp_path) == wanted


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sft.trl.save_only_model=true", "sft.trl.save_only_model: such a run could not be resumed exactly"),
        ("srl.trl.save_total_limit=1", "srl.trl.save_total_limit: keep at least 2"),
        ("srl.trl.eval_steps=3", r"srl.trl: eval_steps \(3\) must be a multiple of 2"),
        ("srl.trl.save_steps=3", r"srl.trl: save_steps \(3\) must be a multiple of 2"),
    ],
)
def test_what_cannot_be_resumed_is_refused_at_the_start(
    tiny_model: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        main([str(recipe(tmp_path, tiny_model)), "srl.trl.save_steps=2", override])
    assert not (tmp_path / "run").exists()


# --- resuming, whatever is trained -----------------------------------------------------------------------------

KINDS = [f"{weights},{beta}" for weights in ("full", "lora") for beta in (0, 0.1)]
ACCUMULATED = [f"{kind},2" for kind in KINDS]
OF_TWO_PROCESSES = [f"{kind},1" for kind in KINDS]


def differences(stdout: str) -> dict[str, dict[str, float]]:
    rows = [json.loads(line) for line in stdout.splitlines() if line.startswith('{"case"')]
    return {row["case"]: row["differences"] for row in rows}


@pytest.fixture(scope="module")
def of_one_process(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    folder = tmp_path_factory.mktemp("one")
    done = run_python("-m", "tests.resume_matrix", str(folder), str(tiny_model), *ACCUMULATED)
    assert done.returncode == 0, done.stderr
    return differences(done.stdout)


@pytest.mark.parametrize("stage", ["sft", "srl", "rlvr"])
@pytest.mark.parametrize("case", ACCUMULATED)
def test_a_run_resumes_bit_for_bit(
    of_one_process: dict[str, dict[str, float]], case: str, stage: str
) -> None:
    assert of_one_process[case][stage] == 0.0


def test_two_processes_resume_bit_for_bit(tiny_model: Path, tmp_path: Path) -> None:
    done = launched(2, "tests.resume_matrix", str(tmp_path), str(tiny_model), *OF_TWO_PROCESSES)
    unchanged = {"sft": 0.0, "srl": 0.0, "rlvr": 0.0}
    assert differences(done.stdout) == dict.fromkeys(OF_TWO_PROCESSES, unchanged)
