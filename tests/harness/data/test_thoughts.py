"""The thought of a target: recorded reasoning, the text before the call, the filler, or none."""

import json
from pathlib import Path

import pytest

from harness.config.tables import Recipe
from harness.console import Console
from harness.data.step_data import StepData, load_step_data
from harness.data.trl_rows import step_completion
from harness.run_folder import RunFolder
from harness.training.dry_run import dry_run
from harness.training.inputs import load_inputs
from harness.training.run import _say_inputs
from srl_agent.formats import FormatError
from trajectories import Action, Step, Trajectory
from trajectories.store import dump_line

ACTION = "<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>"
FILLER = "I take the next step."


def step(thought: str, reasoning: str = "") -> Step:
    action = Action(name="bash", arguments={"command": "ls"})
    return Step(thought=thought, actions=(action,), observation="a.py", reasoning=reasoning)


STEPS = (
    step("I look.", reasoning="The bug is in a.py."),
    step("I look."),
    step("", reasoning=""),
    step("I look.", reasoning="A </think> tag."),
    step("<think>never closed"),
    step("the last step is no target"),
)


def data(folder: Path, **steps: object) -> StepData:
    store = folder / "store.jsonl"
    with store.open("w", encoding="utf-8") as out:
        for name in ("acme__a-1", "acme__b-1"):
            out.write(
                dump_line(
                    Trajectory(
                        trajectory_id=name, instance_id=name, task="Fix it.", steps=STEPS, source="openai"
                    )
                )
            )
    return load_step_data(Recipe.model_validate(recipe(store) | {"steps": {"context_window": 1, **steps}}))


def recipe(store: Path) -> dict[str, object]:
    return {
        "data": {"path": str(store), "held_out": ["acme/b"]},
        "stages": ["sft"],
        "output": str(store.parent),
    }


def thoughts(found: StepData) -> list[str]:
    completions = [
        step_completion(found.example(ref), found.action_format, found.settings) for ref in found.train
    ]
    return [completion.removeprefix("<think>\n").partition("\n</think>")[0] for completion in completions]


def test_the_reasoning_is_the_thought_and_the_filler_is_counted(tmp_path: Path) -> None:
    found = data(tmp_path)
    assert thoughts(found) == ["The bug is in a.py.", "I look.", FILLER, "I look.", FILLER]
    assert (found.count_fillers("train"), found.count_fillers("validation")) == (2, 2)


def test_always_the_filler(tmp_path: Path) -> None:
    found = data(tmp_path, thoughts="filler", filler="Next.")
    assert thoughts(found) == ["Next."] * 5
    assert found.count_fillers("train") == 5


def test_without_thoughts_nothing_asks_for_one(tmp_path: Path) -> None:
    found = data(tmp_path, thoughts="none")
    example = found.example(found.train[0])
    assert "think" not in json.dumps(example.prompt).lower()
    completion = step_completion(example, found.action_format, found.settings)
    assert completion.startswith("<function=bash>")
    assert "think" not in completion
    assert found.action_format.parse(completion) == Step(
        thought="", actions=(Action(name="bash", arguments={"command": "ls"}),), observation=""
    )
    assert found.count_fillers("train") == 0
    with pytest.raises(FormatError, match="asks for an action alone"):
        found.action_format.split(f"<think>\nx\n</think>\n\n{completion}")
    with pytest.raises(FormatError, match="no action"):
        found.action_format.split(" \n")


def test_older_recipes_say_it_in_the_table_of_sft() -> None:
    old = Recipe.model_validate(
        {"sft": {"thought": "filler", "filler": "Go."}, "sft_control": {"thought": "expert"}}
    )
    assert (old.steps.thoughts, old.steps.filler) == ("filler", "Go.")
    assert Recipe.model_validate(old.model_dump()) == old


def test_the_log_of_a_run_says_how_many_targets_hold_the_filler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data(tmp_path)
    inputs = load_inputs(Recipe.model_validate(recipe(tmp_path / "store.jsonl")))
    _say_inputs(inputs, RunFolder(tmp_path / "run"), Console())
    assert "thoughts: 2 of 5 targets hold the filler (steps.thoughts)" in capsys.readouterr().err


def test_a_dry_run_says_how_many_targets_hold_the_filler(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data(tmp_path)
    dry_run(Recipe.model_validate(recipe(tmp_path / "store.jsonl")), RunFolder(tmp_path / "run"))
    assert "# thoughts: expert; 2 of 5 targets hold the filler" in capsys.readouterr().out
