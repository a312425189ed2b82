"""The gate of both commands: what a recipe evaluates against what it trains on, before anything is made."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.cli import UserError
from harness.config.load import load_recipe
from harness.data.step_data import load_step_data
from harness.demo import expert_path
from harness.demo.instances import demo_instances
from harness.demo.math import problems_path
from harness.evaluate import main as evaluate
from harness.evaluation.tasks import evaluation_set
from harness.train import main as train
from harness.training.inputs import load_inputs

MATH = "math-demo"


def write_tasks(path: Path, ids: list[str], **changes: str) -> Path:
    """Tasks of the demo in the older shape: nothing says how their tests run."""
    tasks = {task.instance_id: asdict(task) for task in demo_instances()}
    keys = ("instance_id", "repo", "base_commit", "problem_statement", "patch")
    rows = [{key: tasks[name][key] for key in keys} | changes for name in ids]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def check(*overrides: str, name: str = "demo") -> Any:
    recipe = load_recipe(name, list(overrides))
    return load_inputs(recipe).contamination


def trained_and_held_out() -> tuple[list[str], list[str]]:
    data = load_step_data(load_recipe("demo", []))
    sides = (data.train_trajectories, data.validation_trajectories)
    train, held_out = ([data.trajectory(i).instance_id for i in side] for side in sides)
    return train, held_out


def test_nothing_is_looked_for_where_nothing_is_evaluated() -> None:
    assert check() is None


def test_a_training_set_that_is_evaluated_is_refused_with_instance_cause_and_place(tmp_path: Path) -> None:
    trained, _ = trained_and_held_out()
    tasks = write_tasks(tmp_path / "tasks.jsonl", trained[:1])
    with pytest.raises(UserError) as refused:
        train([f"output={tmp_path}", f"contamination.against=[{tasks}]"])
    told = str(refused.value).splitlines()
    assert told[0].startswith("1 of 1 evaluated tasks are in ")
    assert {f"  {cause}: 1 tasks in 1" for cause in ("instance", "commit", "patch", "text")} <= set(told)
    where = next(n for n, line in enumerate(expert_path().read_text().splitlines(), 1) if trained[0] in line)
    row = next(line for line in told if line.startswith(f"  {trained[0]} ("))
    assert "instance, " in row
    assert row.endswith(f"({expert_path()}:{where})")
    assert "contamination.allow=[instance, " in told[-1]
    assert list(tmp_path.iterdir()) == [tasks]  # no folder was made


def test_what_is_held_out_is_not_trained_on(tmp_path: Path) -> None:
    _, held_out = trained_and_held_out()
    found = check(f"contamination.against=[{write_tasks(tmp_path / 'tasks.jsonl', held_out)}]")
    assert (found.tasks, found.matches) == (len(held_out), ())


def test_the_allowed_causes_are_reported_by_a_dry_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    against = "contamination.against=[demo]"
    with pytest.raises(UserError, match="instance, "):
        check(against, "contamination.allow=[patch,text]")
    assert train([against, "contamination.allow=[instance,commit,patch,text]", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "# contamination: 42 of 42" not in told  # the held-out ones are not trained on
    assert "# contamination, allowed: demo__" in told


def test_the_held_out_tasks_of_outcomes_are_checked_without_being_asked() -> None:
    trained, _ = trained_and_held_out()
    ids = [trained[0], *[name for name in trained if name.split("-")[0] != trained[0].split("-")[0]][:1]]
    outcomes = f"outcomes={{domain: swe, tasks: {{ids: {ids}}}, validation_fraction: 0.5}}"
    with pytest.raises(UserError, match="outcomes, held out"):
        check(outcomes)
    assert (
        check(outcomes, "stages=[rlvr]").matches == ()
    )  # no trajectory is learned from; the split is the recipe's


def test_the_training_tasks_of_rlvr_are_held_against_what_is_named(tmp_path: Path) -> None:
    trained, _ = trained_and_held_out()
    other = next(name for name in trained if name.split("-")[0] != trained[0].split("-")[0])
    outcomes = f"outcomes={{domain: swe, tasks: {{ids: [{trained[0]}, {other}]}}, validation_fraction: 0.5}}"
    found = []
    for name in (trained[0], other):
        tasks = write_tasks(tmp_path / f"{name}.jsonl", [name])
        try:
            found.append(check(outcomes, "stages=[rlvr]", f"contamination.against=[{tasks}]").matches)
        except UserError as error:
            assert "instance, commit, patch, 100% of its text in" in str(error)  # noqa: PT017
            assert "(outcomes, demo__" in str(error)  # noqa: PT017
    assert found == [()]  # the one that is held out


def test_problems_are_known_by_their_text_alone() -> None:
    assert check(name="math_demo") is None  # held-out problems are those of the trajectories
    with pytest.raises(UserError) as refused:
        check(f"contamination.against=[{MATH}]", "contamination.share=0.95", name="math_demo")
    told = str(refused.value)
    assert "\n  text: " in told
    assert "commit" not in told
    assert told.endswith("contamination.allow=[text]")


def test_the_rows_of_a_file_say_what_they_are(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["demo__calc-1"])
    (task,) = evaluation_set(str(tasks))
    assert (task.instance_id, type(task).__name__) == ("demo__calc-1", "Reference")
    assert {type(task).__name__ for task in evaluation_set(str(problems_path()))} == {"MathTask"}
    assert evaluation_set("demo") == demo_instances()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["contamination.against=[nowhere.jsonl]"], "contamination.against: tasks: no file nowhere.jsonl; give a file"),
        (["contamination.against=[nowhere.jsonl]"], "or name no set: contamination.against=[]"),
        (["contamination.allow=[patches]"], "contamination.allow.0: Input should be 'instance', 'commit', 'patch' or"),
        (["contamination.agains=[x]"], "unknown key contamination.agains; did you mean against?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        train([*overrides, "--dry-run"])
    assert message in str(error.value)


def test_a_row_without_a_base_commit_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"instance_id": "a", "repo": "a/b", "problem_statement": "x"})
    )
    with pytest.raises(UserError, match=r"t.jsonl:1: the row has no base_commit; it has instance_id, "):
        evaluation_set(str(tmp_path / "t.jsonl"))


def test_the_run_keeps_what_was_found(tiny_model: Path, tmp_path: Path) -> None:
    from tests.tiny_runs import recipe, run

    path = recipe(tmp_path, tiny_model)
    allow = "contamination={against: [demo], allow: [instance, commit, patch, text]}"
    done = run(str(path), allow, "stages=[sft]", "sft.trl.max_steps=1")
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "run/contamination.json").read_text())
    assert kept["tasks"] == 72
    assert kept["causes"]["instance"]["tasks"] == len({match["instance"] for match in kept["matches"]}) > 0
    assert "of 72 evaluated tasks are in" in done.stderr


def test_an_evaluation_is_refused_by_the_same_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = "tasks.ids=[demo__calc-1]"
    with pytest.raises(UserError) as refused:
        evaluate([one, f"contamination.train=[{expert_path()}]", f"output={tmp_path}"])
    assert "demo__calc-1 (tasks): instance, " in str(refused.value)
    assert "\n  commit: " in str(refused.value)
    allow = "contamination.allow=[instance,commit,patch,text]"
    assert evaluate([one, f"contamination.train=[{expert_path()}]", allow, "--dry-run"]) == 0
    assert "# trained on, patch: 1 tasks in 1, 0 not checked" in capsys.readouterr().out
