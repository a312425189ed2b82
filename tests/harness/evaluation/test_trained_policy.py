"""A stage of a training run is evaluated as it was trained; figures of its calls."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cli import UserError
from harness.config.evaluation import EvaluationRecipe, load_evaluation
from harness.config.load import load_recipe
from harness.data.step_data import load_step_data
from harness.demo import expert_path
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.swe.calls import call_figures, expert_first_calls
from harness.evaluation.trained import with_trained_policy
from harness.jsonl import read_rows
from harness.run_folder import RunFolder
from tests.harness.evaluation.test_evaluate import command, report_of
from trajectories import Action, Step, Trajectory
from trajectories.store import read_trajectories

STAGES = "[sft, srl, sft_control]"


def trained_run(folder: Path, *overrides: str, checkpoints: Mapping[str, str | None]) -> Path:
    """A run's folder as evaluation reads it: its recipe, and what each stage ended with before it was moved here."""
    run = RunFolder(folder)
    run.create(load_recipe("demo", [f"stages={STAGES}", *overrides]))
    for stage, checkpoint in checkpoints.items():
        then = None if checkpoint is None else f"outputs/then/checkpoints/{stage}/{checkpoint}"
        run.write_json(run.best(stage), {"stage": stage, "checkpoint": then, "step": 4})
    return folder


def resolved(folder: Path, stage: str, *overrides: str, recipe: str = "demo_tool_loop") -> EvaluationRecipe:
    words = [f"trained_policy.run={folder}", f"trained_policy.stage={stage}", *overrides]
    return with_trained_policy(load_evaluation(recipe, words))


def test_a_stage_is_asked_as_it_was_trained_on_what_was_held_out(tmp_path: Path) -> None:
    checkpoints = {"sft": "S", "srl": "R", "sft_control": "C"}
    folder = trained_run(
        tmp_path / "run", "steps.max_observation_chars=123", "seed=3", checkpoints=checkpoints
    )
    adapters = {}
    for stage in ("base", "sft", "srl", "sft_control"):
        recipe = resolved(folder, stage)
        assert recipe.policy is not None
        assert recipe.policy.settings["name"] == f"run/{stage}"
        adapters[stage] = recipe.policy.settings["adapter"]
    now = {
        stage: str(folder / "checkpoints" / stage / checkpoint) for stage, checkpoint in checkpoints.items()
    }
    assert adapters == {"base": None, **now}
    settings = recipe.scaffold.settings
    assert settings["context_window"] == 1
    assert settings["max_observation_chars"] == 123
    assert settings["max_steps"] == 12  # the evaluation's own
    assert settings["sampling"]["max_tokens"] == load_recipe("demo").validation.max_new_tokens
    data = load_step_data(load_recipe("demo", ["seed=3"]))
    held_out = {data.trajectory(index).instance_id for index in data.validation_trajectories}
    assert set(recipe.tasks.ids) == held_out
    assert with_trained_policy(recipe) == recipe  # a resumed evaluation is not resolved again
    everything = resolved(folder, "srl", "trained_policy.held_out=false")
    assert everything.tasks.ids == ()
    assert resolved(folder, "srl", "tasks.ids=[demo__calc-1]").tasks.ids == ("demo__calc-1",)
    assert "context_window" not in resolved(folder, "srl", recipe="demo_oracle_edit").scaffold.settings


def test_prompts_and_filters_are_those_of_the_run(tmp_path: Path) -> None:
    changes = [
        "model.chat_template_kwargs={enable_thinking: false}", "model.template_date=2027-05-31",
        "model.generation={top_k: 20, repetition_penalty: 1.05}",
    ]  # fmt: skip
    recipe = resolved(trained_run(tmp_path / "run", *changes, checkpoints={"sft": "S"}), "sft")
    assert recipe.policy is not None
    assert recipe.policy.settings["chat_template_kwargs"] == {"enable_thinking": False}
    assert recipe.policy.settings["template_date"] == "2027-05-31"
    sampling = recipe.scaffold.settings["sampling"]
    assert (sampling["temperature"], sampling["top_k"], sampling["repetition_penalty"]) == (0.0, 20, 1.05)
    assert with_trained_policy(recipe) == recipe
    served = resolved(tmp_path / "run", "sft", "trained_policy.endpoint.base_url=http://gpu:8000/v1").policy
    assert served is not None
    assert served.settings["extra"] == {"chat_template_kwargs": {"enable_thinking": False}}
    plain = resolved(trained_run(tmp_path / "plain", checkpoints={"sft": "S"}), "sft")
    assert plain.policy is not None  # as it was before there were these settings
    assert plain.policy.settings.keys() == {"model", "adapter", "dtype", "name", "options"}
    assert plain.scaffold.settings["sampling"].keys() == {"temperature", "max_tokens"}


def test_a_stage_behind_a_server_is_asked_as_the_one_in_this_process(tmp_path: Path) -> None:
    folder = trained_run(tmp_path / "run", checkpoints={"sft": "S", "srl": "R"})
    here = resolved(folder, "srl")
    served = resolved(folder, "srl", "trained_policy.endpoint.base_url=http://gpu:8000/v1")
    assert served.policy is not None
    assert served.policy.name == "endpoint"
    assert served.policy.settings == {"base_url": "http://gpu:8000/v1", "model": "srl", "name": "run/srl"}
    assert (served.actions, served.scaffold, served.tasks) == (here.actions, here.scaffold, here.tasks)
    assert with_trained_policy(served) == served
    words = ["trained_policy.endpoint.base_url=http://gpu:8000/v1", "trained_policy.endpoint.model=mine"]
    named = resolved(folder, "srl", *words, "trained_policy.endpoint.retries=1").policy
    assert named is not None
    assert (named.settings["model"], named.settings["retries"]) == ("mine", 1)
    with pytest.raises(UserError, match="has not finished its stage sft_control"):
        resolved(folder, "sft_control", words[0])


def test_a_stage_that_ended_with_its_start_has_the_weights_of_its_start(tmp_path: Path) -> None:
    checkpoints: dict[str, str | None] = {"sft": "S", "srl": None, "sft_control": None}
    folder = trained_run(tmp_path / "run", checkpoints=checkpoints)
    for stage in ("srl", "sft_control"):
        recipe = resolved(folder, stage)
        assert recipe.policy is not None
        assert recipe.policy.settings["adapter"] == str(folder / "checkpoints/sft/S")
    full = trained_run(tmp_path / "full", "model.lora=null", checkpoints={"sft": "S", "srl": "R"})
    recipe = resolved(full, "srl")
    assert recipe.policy is not None
    assert recipe.policy.settings["model"] == str(full / "checkpoints/srl/R")
    assert recipe.policy.settings["adapter"] is None


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    folder = trained_run(tmp_path / "run", checkpoints={"sft": "S"})
    with pytest.raises(UserError, match="has not finished its stage srl"):
        resolved(folder, "srl")
    with pytest.raises(UserError, match="the run has base, sft, srl, sft_control, not 'rlvr'"):
        resolved(folder, "rlvr")
    with pytest.raises(UserError, match="is no training run"):
        resolved(tmp_path / "nowhere", "srl")
    for recipe in (
        "math",
        "verified_tool_loop",
    ):  # both have a policy, which trained_policy would not replace
        with pytest.raises(UserError, match="policy and trained_policy: give one of them"):
            resolved(folder, "sft", recipe=recipe)


def attempt(*steps: tuple[str | None, str], instance: str = "a") -> Trajectory:
    """Make an attempt of (command, observation) pairs; None: a malformed call."""
    made = [
        Step(
            thought="t",
            actions=(Action(name="bash", arguments={"command": text}),) if text is not None else (),
            observation=observation,
        )
        for text, observation in steps
    ]
    return Trajectory(
        trajectory_id=instance,
        instance_id=instance,
        task="t",
        steps=tuple(made),
        source="tool-loop",
        model="m",
    )


def test_calls_are_counted_by_what_became_of_them() -> None:
    attempts = [
        attempt(("ls", "a.py"), (None, "Invalid"), ("cat b.py", "cat: b.py: No such file or directory")),
        attempt(
            ("pytest -q", "1 failed\n[exit code 1]"),
            ("py x", "py: command not found\n[exit code 127]"),
            instance="b",
        ),
        attempt((None, "Invalid"), instance="c"),
    ]
    expert = expert_first_calls([attempt(("ls", ""), ("pwd", "")), attempt(("ls", ""), instance="c")])
    figures = call_figures(attempts, expert)
    assert figures["steps"] == 6
    assert (figures["malformed"]["successes"], figures["malformed"]["n"]) == (2, 6)
    assert (figures["executed_without_error"]["successes"], figures["executed_without_error"]["n"]) == (2, 6)
    assert figures["first_call"]["structured"] == 0.5  # a: equal; c: malformed; b: no expert's is known
    assert (figures["first_call"]["exact"]["successes"], figures["first_call"]["exact"]["n"]) == (1, 2)
    assert call_figures([], {})["malformed"] is None
    assert call_figures(attempts)["first_call"] is None


def test_a_random_model_attempts_tasks_in_containers(image: str, tiny_model: Path, tmp_path: Path) -> None:
    words = [
        f"model.name={tiny_model}",
        "model.lora=null",
        "model.dtype=float32",
        "validation.max_new_tokens=12",
    ]
    folder = trained_run(tmp_path / "run", *words, checkpoints={})
    done = command(
        tmp_path,
        "demo_tool_loop",
        f"trained_policy.run={folder}",
        "trained_policy.stage=base",
        "tasks.ids=[demo__calc-1,demo__calc-2]",
        "judge=[predictions]",
        "name=eval",
    )
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/eval")
    assert report["model_name_or_path"] == "run/base"
    assert report["empty_patch_instances"] == 2
    assert report["calls"]["malformed"]["mean"] == 1.0
    assert report["calls"]["first_call"]["structured"] == 0.0
    assert "executed without an error 0.0%" in done.stdout


def plain(output: str) -> str:
    """Without how long pytest took, and how wide its terminal was."""
    return re.sub(r"in [\d.]+s|\s+", " ", output)


def test_every_call_of_the_expert_is_its_own(image: str, tmp_path: Path) -> None:
    done = command(tmp_path, "tasks.ids=[demo__calc-1]", "judge=[predictions]", "name=run")
    assert done.returncode == 0, done.stderr
    calls: dict[str, Any] = report_of(tmp_path / "outputs/run")["calls"]
    (row,) = read_rows(EvaluationFolder(tmp_path / "outputs/run").rollouts)
    recorded = {t.instance_id: t for t in read_trajectories(expert_path())}["demo__calc-1"]
    seen = [step["observation"] for step in row["trajectory"]["steps"]]
    assert [plain(text) for text in seen] == [plain(step.observation) for step in recorded.steps]
    assert row["trajectory"]["patch"] == recorded.patch  # without what running the tests has left behind
    assert calls["steps"] == len(recorded.steps)
    assert calls["malformed"]["mean"] == 0.0
    assert calls["executed_without_error"]["mean"] == 1.0
    assert calls["first_call"]["structured"] == calls["first_call"]["exact"]["mean"] == 1.0
    assert json.dumps(calls)
    assert len(expert_first_calls(read_trajectories(expert_path()))) == 72
