"""Harbor's job folders: whose task a run is, its verdict, and in which form it is read."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.trajectories.harbor_runs import Object, asks, bash, document, says
from tests.trajectories.reading import one
from trajectories import Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.harbor.trials import place_of
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.types import JSON


def job(folder: Path, trial: str, result: Object | None, files: dict[str, Object | list[Object]]) -> None:
    where = folder / trial
    for name, value in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = value if isinstance(value, list) else [value]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if result is not None:
        (where / "result.json").write_text(json.dumps(result, indent=1))


def converted(*paths: Path) -> tuple[list[Trajectory], Ledger]:
    files = [file for path in paths for file in (sorted(path.rglob("*.*")) if path.is_dir() else [path])]
    ledger = Ledger()
    found = [trajectory for trajectory, _ in read_trajectories_of([f for f in files if f.is_file()], ledger)]
    ledger.check()
    return found, ledger


RUN = document([asks("Fix it."), says("", bash("a"))])
RESULT: Object = {
    "task_name": "acme__widgets-with-a-very-long-name-1", "trial_name": "x",
    "verifier_result": {"rewards": {"reward": 0.0}},
    "agent_info": {"name": "terminus-2", "version": "2", "model_info": {"provider": "acme", "name": "m"}},
}  # fmt: skip
TRIAL = "acme__widgets-with-a-very-long-n__AbCdEfg"


def test_the_result_beside_a_trial_names_its_task_and_verdict(tmp_path: Path) -> None:
    bare = RUN | {
        "agent": {"name": "terminus-2", "version": "2"},
        "steps": [asks("Fix it."), says("", bash("a"))],
    }
    del bare["steps"][1]["model_name"]
    cont = bare | {"session_id": "s1-cont-1"}
    files: dict[str, Object | list[Object]] = {
        "agent/trajectory.json": bare, "agent/trajectory.cont-1.json": cont,
        "config.json": {"trial_name": TRIAL}, "verifier/reward.json": {"reward": 0},
    }  # fmt: skip
    job(tmp_path, TRIAL, RESULT, files)
    found, ledger = converted(tmp_path)
    assert sorted(t.trajectory_id for t in found) == ["s1", "s1-cont-1"]
    assert {t.instance_id for t in found} == {"acme__widgets-with-a-very-long-name-1"}
    assert {(t.resolved, t.model, t.metadata["reward"], t.metadata["trial"]) for t in found} == {
        (False, "acme/m", 0.0, TRIAL)
    }
    assert ledger.total().skipped == {"file_of_a_trial": 3}


def test_trials_without_a_result(tmp_path: Path) -> None:
    config = {"trial_name": TRIAL, "task": {"path": "tasks/acme__widgets-with-a-very-long-name-1"}}
    job(tmp_path, TRIAL, None, {"agent/trajectory.json": RUN, "config.json": config})
    job(tmp_path, "fix-git__HiJkLmN", None, {"agent/trajectory.json": RUN})
    job(tmp_path, TRIAL.replace("AbC", "XyZ"), None, {"agent/trajectory.json": RUN})
    found, ledger = converted(tmp_path)
    assert sorted(t.instance_id for t in found) == [
        "acme__widgets-with-a-very-long-n", "acme__widgets-with-a-very-long-name-1", "fix-git",
    ]  # fmt: skip
    assert ledger.total().notes["task_name_cut_by_the_trial"] == 1
    assert one(RUN, origin="runs/task__a1/agent/trajectory.json").instance_id == "task__a1"


def test_a_task_of_several_steps(tmp_path: Path) -> None:
    verdicts = [{"step_name": f"s{n}", "verifier_result": {"rewards": {"reward": float(n)}}} for n in (0, 1)]
    files: dict[str, Object | list[Object]] = {f"steps/s{n}/agent/trajectory.json": RUN for n in (0, 1)}
    job(
        tmp_path,
        "fix-git__HiJkLmN",
        {"task_name": "acme/fix-git", "trial_name": "x", "step_results": verdicts},
        files,
    )
    found, _ = converted(tmp_path)
    assert [(t.instance_id, t.resolved) for t in found] == [("acme/fix-git", False), ("acme/fix-git", True)]


def session(*calls: str) -> list[Object]:
    """Return a session of Claude Code."""

    def line(uuid: str, parent: str | None, role: str, content: JSON) -> Object:
        message = {"role": role, "content": content, "id": uuid, "model": "claude-big"}
        return {"type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "s1", "message": message}

    lines, last = [line("u", None, "user", "Fix it.")], "u"
    for call in calls:
        use = [{"type": "tool_use", "id": call, "name": "Bash", "input": {"command": call}}]
        answer = [{"type": "tool_result", "tool_use_id": call, "content": f"saw {call}"}]
        lines += [line(f"m-{call}", last, "assistant", use), line(f"r-{call}", f"m-{call}", "user", answer)]
        last = f"r-{call}"
    return lines


@pytest.mark.parametrize(
    ("calls", "source"), [(["a", "b"], "claude-code"), (["a"], "claude-code"), (["b"], "atif")]
)
def test_a_run_told_twice_is_read_from_the_richer_files(
    calls: list[str], source: str, tmp_path: Path
) -> None:
    files: dict[str, Object | list[Object]] = {
        "agent/trajectory.json": RUN, "agent/sessions/projects/-app/s1.jsonl": session(*calls),
    }  # fmt: skip
    job(tmp_path, TRIAL, RESULT, files)
    (trajectory,), ledger = converted(tmp_path)
    assert (trajectory.source, trajectory.instance_id, trajectory.resolved) == (
        source,
        RESULT["task_name"],
        False,
    )
    assert ledger.total().skipped["same_run_in_another_form"] == 1
    alone = tmp_path / TRIAL / "agent" / "trajectory.json"
    named = [t.source for t, _ in read_trajectories_of([alone], Ledger(), named=[alone])]
    assert named == ["atif"]


def test_ids_that_harbor_made_tell_nothing_about_the_agents_own_file(tmp_path: Path) -> None:
    """SWE-agent's own file names its calls otherwise than the ATIF, and has the task and the arguments."""
    call = {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "bash", "arguments": '{"command": "ls"}'},
    }
    own = {
        "history": [
            {"role": "user", "content": "Fix it."},
            {
                "role": "assistant",
                "content": "Look.",
                "thought": "Look.",
                "action": "ls",
                "tool_calls": [call],
            },
            {"role": "tool", "content": "a.py", "tool_call_ids": ["toolu_1"]},
        ],
        "trajectory": [{"action": "ls", "observation": "a.py", "response": "Look.", "thought": "Look."}],
        "info": {},
    }
    made = {
        "tool_call_id": "call_2_1",
        "function_name": "swe_agent_action",
        "arguments": {"raw_action": "ls"},
    }
    atif = {**RUN, "steps": [{"step_id": 1, "source": "agent", "message": "Look.", "tool_calls": [made]}]}
    files: dict[str, Object | list[Object]] = {
        "agent/trajectory.json": atif,
        "agent/swe-agent.trajectory.json": own,
    }
    job(tmp_path, TRIAL, RESULT, files)
    (trajectory,), ledger = converted(tmp_path)
    assert (trajectory.source, trajectory.task) == ("swe-agent", "Fix it.")
    assert ledger.total().skipped["same_run_in_another_form"] == 1


def test_of_an_archive_the_first_form_is_read_and_results_that_came_before(tmp_path: Path) -> None:
    files: dict[str, Object | list[Object]] = {
        "agent/trajectory.json": RUN, "agent/sessions/projects/-app/s1.jsonl": session("a"),
    }  # fmt: skip
    for trial in ("one__AbCdEfg", "two__HiJkLmN"):
        job(tmp_path, trial, RESULT | {"task_name": f"acme/{trial[:3]}-task"}, files)
    with tarfile.open(tmp_path / "jobs.tar", "w") as archive:
        names = ("two__HiJkLmN/result.json", *(f"{t}/{n}" for t in ("one__AbCdEfg", "two__HiJkLmN") for n in files),
                 "one__AbCdEfg/result.json")  # fmt: skip
        for name in names:
            archive.add(tmp_path / name, arcname=f"job/{name}")
    found, ledger = converted(tmp_path / "jobs.tar")
    assert [(t.source, t.instance_id, t.resolved) for t in found] == [
        ("atif", "one", None), ("atif", "acme/two-task", False),
    ]  # fmt: skip
    assert ledger.total().skipped == {"same_run_in_another_form": 2, "file_of_a_trial": 2}


def test_places_in_a_job() -> None:
    place = place_of("x.tar!job/fix__AbCdEfg/steps/s1/agent/sessions/agent/a.jsonl")
    assert place is not None
    assert (place.trial, place.step, place.name, place.inside[0]) == (
        "x.tar!job/fix__AbCdEfg",
        "s1",
        "fix__AbCdEfg",
        "sessions",
    )
    assert place_of("agent/trajectory.json") is place_of("runs/trajectory.json") is None
