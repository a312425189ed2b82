"""The main job on a tiny model: both stages, every file of the run, a real kill and an exact resume, bad input."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from harness.training.control import updates_in_time
from srl_agent.training.dynamic_sampling import SpreadTally
from tests.tiny_runs import ROOT, command, launched, recipe, run, whole_lines


def kill_when(words: list[str], metrics: Path, stage: str, step: int) -> None:
    """Start a run and SIGKILL it as soon as metrics.jsonl tells of a step of a stage."""
    process = subprocess.Popen(
        command(*words), cwd=ROOT, env={**os.environ, "SLOW_REWARD": "0.3"}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and any(
            row["stage"] == stage and row["step"] >= step for row in whole_lines(metrics)
        ):
            break
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def final_weights(folder: Path, stage: str) -> bytes:
    best = json.loads((folder / "checkpoints" / stage / "best.json").read_text())
    return (Path(best["final_checkpoint"]) / "model.safetensors").read_bytes()


def test_the_run_writes_every_file(finished: Path) -> None:
    for name in ("config.yaml", "manifest.json", "baselines.jsonl", "report.json", "report.html"):
        assert (finished / name).stat().st_size > 100, name
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["data"]["validation_steps"] == 6
    assert manifest["data"]["targets_with_filler"] == {"train": 0, "validation": 0}
    told = "thoughts of targets: expert; 0 of 40 hold the filler"
    assert told in (finished / "report.html").read_text(encoding="utf-8")
    groups = whole_lines(finished / "samples.jsonl")
    assert {group["kept"] for group in groups} == {True, False}
    assert all(len(group["completions"]) == 4 for group in groups)
    validation = whole_lines(finished / "validation.jsonl")
    evaluations = {(row["stage"], row["step"]) for row in validation}
    assert evaluations == {("base", 0), *((s, n) for s in ("sft", "srl") for n in (2, 4, 6))}
    assert len(validation) == 6 * len(evaluations)


def test_the_report_has_the_difference(finished: Path) -> None:
    difference = json.loads((finished / "report.json").read_text())["difference"]
    assert difference.keys() >= {"mean", "low", "high", "n"}
    assert difference["low"] <= difference["mean"] <= difference["high"]


def test_the_report_has_skill_baselines_and_what_was_cut(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    trained_on = "tests.plugin_rewards:letters_of_even_steps"
    assert report["trained_on"] == trained_on
    assert set(report["baseline"]["best"]) == {trained_on, "similarity", "structured"}
    assert report["baseline"]["policies"].keys() >= {"best_constant", "repeat_last_action", "empty_action"}
    for stage in ("base", "sft", "srl"):
        assert report["stages"][stage]["rewards"].keys() == report["skill"][stage].keys()
        best, reward = (
            report["baseline"]["best"]["structured"],
            report["stages"][stage]["rewards"]["structured"],
        )
        skill = (reward["mean"] - best["mean"]) / (1 - best["mean"])
        assert report["skill"][stage]["structured"]["mean"] == pytest.approx(skill)
    assert report["clipped_fraction"]["srl"]["held_out"] > 0.5  # a random model does not end
    assert report["clipped_fraction"]["srl"]["sampled"] > 0.5
    page = (finished / "report.html").read_text()
    assert "best baseline: " in page
    assert "skill " in page
    assert "% of the completions that srl sampled were cut at srl.trl.max_completion_length" in page


def test_validation_by_sampling_changes_no_training(finished: Path, tiny_model: Path, tmp_path: Path) -> None:
    sampled = {"max_new_tokens": 6, "temperature": 1.0, "samples": 3}
    done = run(str(recipe(tmp_path, tiny_model, stages=["sft"], validation=sampled)))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert final_weights(folder, "sft") == final_weights(finished, "sft")
    steps = defaultdict(list)
    for row in whole_lines(folder / "validation.jsonl"):
        steps[row["stage"], row["step"], row["trajectory_id"], row["step_index"]].append(row)
    assert len(steps) == 4 * 6
    assert all([row["sample"] for row in rows] == [0, 1, 2] for rows in steps.values())
    base = [rows for (stage, *_), rows in steps.items() if stage == "base"]
    assert all(len({row["completion"] for row in rows}) > 1 for rows in base)
    report = json.loads((folder / "report.json").read_text())
    assert report["validation"] == {"temperature": 1.0, "samples": 3}
    rewards = [row["reward"] for rows in base for row in rows]
    assert report["stages"]["base"]["step_reward"]["mean"] == pytest.approx(sum(rewards) / 18)
    assert report["stages"]["base"]["steps"] == 6
    assert "3 completions a step, sampled at temperature 1.0" in (folder / "report.html").read_text()


def test_limits_that_cut_the_expert_are_told_before_training(tiny_model: Path, tmp_path: Path) -> None:
    done = run(
        str(recipe(tmp_path, tiny_model, stages=["sft"])), "sft.trl.max_steps=1", "validation.base=false"
    )
    before = done.stderr.partition("sft 1/1")[0]
    told = [line for line in before.splitlines() if line.startswith("warning: ")]
    assert [line.partition(" is ")[0] for line in told] == ["warning: validation.max_new_tokens"]
    assert "and cuts 6 of 6 expert actions (100 %, think span included; the longest has " in told[0]
    enough = run(
        str(recipe(tmp_path / "b", tiny_model, stages=["sft"])),
        "sft.trl.max_steps=1",
        "validation.max_new_tokens=900",
    )
    assert "warning: validation.max_new_tokens" not in enough.stderr
    dry = run(str(recipe(tmp_path / "c", tiny_model)), "--dry-run", "srl.trl.max_completion_length=9")
    assert (
        "# warning: srl.trl.max_completion_length is 9 and cuts 40 of 40 expert actions (100 %" in dry.stdout
    )


@pytest.mark.parametrize(
    ("overrides", "cause"),
    [
        (
            ["rewards=[{name: structured}]"],
            " % of the completions were cut at max_completion_length (8 tokens): allow longer ones",
        ),
        (["srl.sampling.epsilon=5"], "and sampling.epsilon (5) drops what is not above it: lower it"),
    ],
)
def test_a_training_set_without_spread_ends_with_the_likely_cause(
    overrides: list[str], cause: str, tiny_model: Path, tmp_path: Path
) -> None:
    path = recipe(
        tmp_path, tiny_model, stages=["srl"], data={"path": "demo", "validation_steps": 2, "train_steps": 12}
    )
    done = run(str(path), "srl.sampling.max_rounds=20", "validation.base=false", *overrides)
    assert done.returncode == 1
    assert "error: srl: none of " in done.stderr
    assert cause in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize(
    ("tally", "cause"),
    [
        (
            {"malformed": 39, "format_error": "empty thought"},
            "98 % of the completions have a broken format (the first: ",
        ),
        ({"unjudged": 30}, "75 % of the completions could not be scored"),
        (
            {"largest_std": 0.004},
            "the largest standard deviation within a group is 0.004, and sampling.epsilon (0.01)",
        ),
        ({}, "all completions of a group score alike"),
    ],
)
def test_the_likely_cause_of_no_spread(tally: dict[str, Any], cause: str) -> None:
    told = SpreadTally(groups=5, completions=40, **tally).explain(epsilon=0.01, longest=80)
    assert told.startswith("none of 5 sampled groups has a spread in its rewards")
    assert cause in told


def test_the_control_goes_on_with_sft_for_the_time_of_rl(tiny_model: Path, tmp_path: Path) -> None:
    control = {
        "trl": {"per_device_train_batch_size": 2, "learning_rate": 1e-3, "save_steps": 50, "use_cpu": True}
    }
    path = recipe(tmp_path, tiny_model, stages=["sft", "srl", "sft_control"], sft_control=control)
    folder = tmp_path / "run"
    # SFT learns fast, so that its end differs from its start by more than one batch from another.
    kill_when([str(path), "sft.trl.learning_rate=0.01"], folder / "metrics.jsonl", "sft_control", 1)
    resumed = run("--resume", str(folder))
    assert resumed.returncode == 0, resumed.stderr
    metrics = [row for row in whole_lines(folder / "metrics.jsonl") if row["kind"] == "train"]
    seconds = {
        stage: [r["train_seconds"] for r in metrics if r["stage"] == stage] for stage in ("sft", "srl")
    }
    each = (seconds["sft"][-1] - seconds["sft"][0]) / (len(seconds["sft"]) - 1)
    updates = [row["step"] for row in metrics if row["stage"] == "sft_control"]
    assert updates == list(range(1, int(seconds["srl"][-1] / each) + 1))
    assert len(updates) > 6  # the reward was slowed down
    report = json.loads((folder / "report.json").read_text())
    assert report["trained_stage"] == "srl"
    starts = {
        stage: json.loads((folder / f"checkpoints/{stage}/best.json").read_text())["final_checkpoint"]
        for stage in ("sft", "sft_control")
    }
    assert all(Path(checkpoint).is_dir() for checkpoint in starts.values())
    # It starts where SRL started: its first loss is that of the end of SFT, not of the model before.
    losses = {s: [r["loss"] for r in metrics if r["stage"] == s] for s in ("sft", "sft_control")}
    assert losses["sft_control"][0] < losses["sft"][0] - 0.5
    # A finished stage is found where the run's folder stands now.
    moved = folder.rename(tmp_path / "moved")
    (moved / "checkpoints/sft_control/best.json").unlink()
    again = run("--resume", str(moved))
    assert again.returncode == 0, again.stderr
    assert f"sft: finished before, best checkpoint {moved / 'checkpoints/sft/checkpoint-'}" in again.stderr
    assert (moved / "checkpoints/sft_control/best.json").exists()


@pytest.mark.parametrize("stopped", ["sft", "srl"])
def test_a_process_that_was_stopped_changes_no_control(stopped: str) -> None:
    """A run of real steps was stopped for two hours while SFT went on: its control had one update in place of 26."""

    def updates(pause: float) -> int:
        rows = []
        for stage, seconds in (("sft", (30, 9, 11, 8, 12, 9)), ("srl", (80, 90, 85))):
            spent = 0.0
            for step, each in enumerate(seconds, start=1):
                spent += each + (pause if (stage, step) == (stopped, 3) else 0)
                rows.append({"stage": stage, "step": step, "train_seconds": spent})
        return updates_in_time(rows)

    assert updates(0) == 26
    assert abs(updates(7_600) - 26) <= 2


def test_killed_three_times_the_run_ends_with_the_same_weights(
    finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    path, folder = recipe(tmp_path, tiny_model), tmp_path / "run"
    kill_when([str(path)], folder / "metrics.jsonl", "sft", 3)
    kill_when(["--resume", str(folder)], folder / "metrics.jsonl", "srl", 1)
    kill_when(["--resume", str(folder)], folder / "metrics.jsonl", "srl", 5)
    done = run("--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert "srl: resuming at step 4" in done.stderr
    for stage in ("sft", "srl"):
        assert final_weights(folder, stage) == final_weights(finished, stage)
    for name in ("validation.jsonl", "samples.jsonl"):
        assert whole_lines(folder / name) == whole_lines(finished / name)
    steps = [(row["stage"], row["step"], row["kind"]) for row in whole_lines(folder / "metrics.jsonl")]
    assert len(steps) == len(set(steps))


def test_ctrl_c_says_how_to_go_on(tiny_model: Path, tmp_path: Path) -> None:
    path, folder = recipe(tmp_path, tiny_model), tmp_path / "run"
    process = subprocess.Popen(
        command(str(path)),
        cwd=ROOT,
        env={**os.environ, "SLOW_REWARD": "0.3"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (folder / "baselines.jsonl").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"--resume {folder}" in errors
    assert "Traceback" not in errors
    assert json.loads((folder / "manifest.json").read_text())["status"] == "interrupted"


def test_a_full_disk_is_named_and_the_run_resumes(tiny_model: Path, tmp_path: Path) -> None:
    path, folder = recipe(tmp_path, tiny_model, stages=["sft"]), tmp_path / "run"
    # A limit on the size of files stands in for a full disk: the weights do not fit, the lines before them do.
    limited = f"ulimit -f 64; exec {shlex.join(command(str(path)))}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert done.returncode == 1
    assert "could not be written" in done.stderr or "larger than this system allows" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((folder / "checkpoints").rglob("complete.json"))
    resumed = run("--resume", str(folder))
    assert resumed.returncode == 0, resumed.stderr


def test_lora_bfloat16_checkpointing_and_the_last_step(tiny_model: Path, tmp_path: Path) -> None:
    path = recipe(
        tmp_path,
        tiny_model,
        model={"name": str(tiny_model), "dtype": "bfloat16", "lora": {"r": 4, "lora_alpha": 8}},
        steps={"context_window": "full", "max_action_chars": 200, "include_last_step": True},
    )
    checkpointing = [
        f"{stage}.trl.{key}"
        for stage in ("sft", "srl")
        for key in ("gradient_checkpointing=true", "max_steps=2")
    ]
    done = run(str(path), *checkpointing)
    assert done.returncode == 0, done.stderr
    best = json.loads((tmp_path / "run/checkpoints/srl/best.json").read_text())
    assert (Path(best["final_checkpoint"]) / "adapter_model.safetensors").exists()


def test_stages_of_different_precision_follow_each_other(tiny_model: Path, tmp_path: Path) -> None:
    sft = {"max_steps": 1, "save_steps": 1, "per_device_train_batch_size": 2, "use_cpu": True, "bf16": True}
    srl = {
        "max_steps": 1,
        "save_steps": 1,
        "num_generations": 4,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
    }
    path = recipe(
        tmp_path,
        tiny_model,
        sft={"trl": sft},
        srl={"sampling": {"epsilon": -1}, "trl": {**srl, "max_completion_length": 8}},
    )
    done = run(str(path))
    assert done.returncode == 0, done.stderr
    assert "srl: ends after 1 updates" in done.stderr


def test_two_processes_fill_every_batch_and_agree(tiny_model: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny_model, stages=["srl"], name="run-{time}")
    launched(2, "harness.train", str(path), "srl.trl.max_steps=2")
    (folder,) = tmp_path.glob("run-2*")  # one folder, whatever the clocks of the processes say
    rows = whole_lines(folder / "metrics.jsonl")
    trained = [row for row in rows if row["stage"] == "srl" and row["kind"] == "train"]
    assert [row["step"] for row in trained] == [1, 2]
    assert trained[0]["sampling/filled_fraction"] == 1.0
    kept = [group for group in whole_lines(folder / "samples.jsonl") if group["kept"]]
    assert len(kept) == 8  # 2 processes × 8 rows × 2 steps of a generation batch, in groups of 4
    assert all(group["step_index"] % 2 == 0 for group in kept)
    validation = [row for row in whole_lines(folder / "validation.jsonl") if row["stage"] == "srl"]
    keys = [(row["step"], row["trajectory_id"], row["step_index"]) for row in validation]
    assert len(keys) == len(set(keys)) == 6  # each held-out step once, whichever process completed it


def test_a_run_is_never_overwritten(finished: Path, tiny_model: Path) -> None:
    done = run(str(recipe(finished.parent, tiny_model)))
    assert done.returncode == 1
    assert "already contains a run" in done.stderr


def test_a_checkpoint_of_another_model_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    (copy / "checkpoints/srl/best.json").unlink()
    config = copy / "checkpoints/srl/checkpoint-6/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 4096}))
    done = run("--resume", str(copy))
    assert done.returncode == 1
    assert "checkpoint of another model: its hidden_size is 4096" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["demo", "model.name=no/such/model"], "no such folder", 2),
        (["demo", "data.path=nowhere.jsonl"], "data.path: no file nowhere.jsonl", 2),
        (["demo", "rewards=[{name: simlarity}]"], "unknown reward 'simlarity'", 2),
        (
            ["demo", "rewards=[{name: tests.plugin_rewards:letters, settings: {x: 1}}]"],
            "settings of tests.plugin_rewards:letters: it has no parameter x; it takes none",
            2,
        ),
        (["demo", "actions.format=yaml"], "unknown action format 'yaml'", 2),
        (["demo", "srl.trl.output_dir=x"], "srl.trl.output_dir is set by the harness", 2),
        (["demo", "srl.trl.num_generations=3"], "srl.trl: ", 2),
        (["--resume", "nowhere"], "no run to resume here", 2),
    ],
)
def test_bad_input_is_named_without_a_traceback(
    words: list[str], message: str, code: int, tmp_path: Path
) -> None:
    extra = [] if "--resume" in words else [f"output={tmp_path}"]
    done = run(*words, *extra)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{broken", ":1: not JSON"),
        ('{"schema_version": 9}', "schema_version is 9"),
        ("", "holds no trajectory"),
    ],
)
def test_a_broken_store_is_named_by_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(text)
    done = run("demo", f"data.path={path}", "--dry-run")
    assert message in done.stderr
    assert done.returncode == 1
