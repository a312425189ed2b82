"""The embedded demo is real: every script is executed again here, every state is tested."""

import re
import sys
from pathlib import Path

import pytest

from environments.sandbox.local import LocalSandbox
from harness import demo
from harness.cli import UserError
from harness.demo import record
from harness.demo.sources import Files, Source, load_sources
from trajectories.store import read_trajectories

SOURCES = load_sources()


@pytest.fixture(scope="module")
def recordings() -> list[record.Recording]:
    return [record.record(source) for source in SOURCES]


def apply(files: Files, *patches: str) -> Files:
    with LocalSandbox(files) as sandbox:
        for patch in patches:
            sandbox.write({"change.patch": patch})
            assert "[exit code" not in sandbox.execute("bash", {"command": "git apply change.patch"})
        return {name: text for name, text in sandbox.files().items() if name != "change.patch"}


def test_the_demo_is_large_enough() -> None:
    trajectories = list(read_trajectories(demo.expert_path()))
    assert len(trajectories) >= 24
    assert len({trajectory.repository for trajectory in trajectories}) >= 8
    assert all(trajectory.resolved for trajectory in trajectories)
    assert len({trajectory.trajectory_id for trajectory in trajectories}) == len(trajectories)
    assert {step.actions[0].name for trajectory in trajectories for step in trajectory.steps} == {
        "bash",
        "str_replace_editor",
        "submit",
    }


def test_the_recorded_files_are_reproduced(recordings: list[record.Recording]) -> None:
    for path, made in record.render(recordings).items():
        assert record.difference(path, made) == ""


def test_the_bug_exists_and_the_reference_fix_removes_it(recordings: list[record.Recording]) -> None:
    for source, recording in zip(SOURCES, recordings, strict=True):
        task = recording.task
        buggy = record.run_tests(source.with_tests(source.buggy()))
        fixed = record.run_tests(source.with_tests(source.correct()))
        assert all(fixed.values()), source.instance_id
        assert task.FAIL_TO_PASS, source.instance_id
        assert task.PASS_TO_PASS, source.instance_id
        assert set(task.FAIL_TO_PASS) | set(task.PASS_TO_PASS) == set(fixed)
        assert not any(buggy.get(test, False) for test in task.FAIL_TO_PASS), source.instance_id
        assert all(buggy[test] for test in task.PASS_TO_PASS), source.instance_id


def test_the_end_state_of_the_expert_passes(recordings: list[record.Recording]) -> None:
    for source, recording in zip(SOURCES, recordings, strict=True):
        outcomes = record.run_tests(source.with_tests(dict(recording.end_state)))
        assert all(outcomes.values()), source.instance_id


def test_the_patches_lead_to_the_states(recordings: list[record.Recording]) -> None:
    for source, recording in zip(SOURCES, recordings, strict=True):
        task, trajectory = recording.task, recording.trajectory
        assert apply(source.buggy(), task.patch, task.test_patch) == source.with_tests(source.correct())
        assert trajectory.patch is not None
        assert apply(source.buggy(), trajectory.patch) == recording.end_state


def test_the_packaged_tasks_are_the_recorded_ones(recordings: list[record.Recording]) -> None:
    assert demo.load_tasks() == tuple(recording.task for recording in recordings)


def test_a_task_names_the_location_of_its_code(recordings: list[record.Recording]) -> None:
    for recording in recordings:
        last = recording.trajectory.task.splitlines()[-1]
        said = re.fullmatch(r"The repository is in /testbed, its package in /testbed/(\w+)\.", last)
        assert said
        assert any(path.startswith(f"{said[1]}/") for path in recording.end_state)
        assert recording.task.problem_statement == recording.trajectory.task


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.instance_id)
def test_scripts_do_not_depend_on_directory_order(source: Source) -> None:
    for _, action in source.script:
        command = action.arguments.get("command", "")
        assert not command.startswith("find ") or "| sort" in command, command


def test_recursive_grep_output_is_sorted_by_file() -> None:
    printed = "/b.py:10:x\n/a.py:9:y\n/b.py:2:x\n/a.py:10:y"
    assert record.files_in_order(printed) == "/a.py:9:y\n/a.py:10:y\n/b.py:10:x\n/b.py:2:x"
    assert record.files_in_order("5:y\n12:x") == "5:y\n12:x"


def test_check_reports_differences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "load_sources", lambda: SOURCES[:1])
    monkeypatch.setattr(demo, "expert_path", lambda: tmp_path / "expert.jsonl")
    monkeypatch.setattr(demo, "tasks_path", lambda: tmp_path / "tasks.jsonl")
    monkeypatch.setattr(sys, "argv", ["record"])
    record.main()
    monkeypatch.setattr(sys, "argv", ["record", "--check"])
    record.main()
    text = demo.expert_path().read_text()
    assert "passed in 0.01s" in text
    demo.expert_path().write_text(text.replace("passed in 0.01s", "passed in 0.02s"))
    with pytest.raises(UserError, match=r"demo\.record"):
        record.main()
    assert "+" in capsys.readouterr().err
