"""Claude Code's sub-agents in files of their own: whose task it is."""

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from trajectories import Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.types import JSON

Line = dict[str, JSON]


def line(uuid: str, parent: str | None, role: str, content: JSON, **more: JSON) -> Line:
    message = {"role": role, "content": content, "id": uuid}
    return {
        "type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "isSidechain": False, "cwd": "/w",
        "message": message, **more,
    }  # fmt: skip


def use(call_id: str, **arguments: JSON) -> list[Line]:
    return [{"type": "tool_use", "id": call_id, "name": "Bash", "input": arguments}]


def result(call_id: str, text: str) -> list[Line]:
    return [{"type": "tool_result", "tool_use_id": call_id, "content": text}]


OF_AGENT = {"agentId": "a1", "isSidechain": True}
AGENT = [
    line("b1", None, "assistant", use("c9", command="ls"), **OF_AGENT),
    line("b2", "b1", "user", result("c9", "a.py"), **OF_AGENT),
]


def parent(answer: JSON) -> list[Line]:
    task = {"description": "Look", "prompt": "Look for it."}
    return [
        line("u", None, "user", "Fix it."),
        line("a", "u", "assistant", [{"type": "tool_use", "id": "c1", "name": "Task", "input": task}]),
        line("r", "a", "user", result("c1", "Found."), toolUseResult=answer),
    ]


def write(path: Path, lines: Sequence[Line]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def read(*files: Path) -> tuple[dict[str, Trajectory], Ledger]:
    ledger = Ledger()
    return {t.trajectory_id: t for t, _ in read_trajectories_of(files, ledger)}, ledger


@pytest.mark.parametrize("place", ["agent-a1.jsonl", "s/subagents/agent-a1.jsonl"])
def test_prompt_that_only_the_parent_holds(tmp_path: Path, place: str) -> None:
    write(tmp_path / "s.jsonl", parent({"agentId": "a1", "prompt": "Look for it.", "status": "completed"}))
    found, _ = read(write(tmp_path / place, AGENT))
    assert {name: t.task for name, t in found.items()} == {"s/a1": "Look for it."}
    (step,) = found["s/a1"].steps
    assert (step.actions[0].arguments, step.observation) == ({"command": "ls"}, "a.py")


def test_own_prompt_comes_before_the_parents(tmp_path: Path) -> None:
    write(tmp_path / "s.jsonl", parent({"agentId": "a1", "prompt": "Look for it."}))
    asked = line("b0", None, "user", "Look there.", **OF_AGENT)
    found, _ = read(write(tmp_path / "agent-a1.jsonl", [asked, {**AGENT[0], "parentUuid": "b0"}, AGENT[1]]))
    assert found["s/a1"].task == "Look there."


@pytest.mark.parametrize(
    "answer", [{"agentId": "a2", "prompt": "Other."}, {"agentId": "a1", "prompt": 7}, ["agentId"], "agentId"]
)
def test_without_its_prompt_the_file_has_no_task(tmp_path: Path, answer: JSON) -> None:
    session = write(tmp_path / "s.jsonl", parent(answer))
    session.write_text(session.read_text() + '{"toolUseResult": {"agentId": "a1", "prompt": "x"\n')
    found, ledger = read(write(tmp_path / "agent-a1.jsonl", AGENT))
    assert (found, ledger.total().trajectories.dropped) == ({}, {"no_task": 1})


def test_neither_archives_nor_names_of_paths_lead_to_other_files(tmp_path: Path) -> None:
    write(tmp_path / "s.jsonl", parent({"agentId": "a1", "prompt": "Look for it."}))
    file = write(tmp_path / "in" / "x" / "y" / "z" / "agent-a1.jsonl", AGENT)
    with tarfile.open(tmp_path / "runs.tar", "w") as archive:
        archive.add(file, "agent-a1.jsonl")
    elsewhere = [one | {"sessionId": "../../../../s"} for one in AGENT]
    climbing = write(tmp_path / "in" / "x" / "y" / "z" / "agent-a2.jsonl", elsewhere)
    assert read(tmp_path / "runs.tar")[0] == read(file)[0] == read(climbing)[0] == {}
