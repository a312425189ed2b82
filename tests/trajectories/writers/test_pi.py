"""Pi sessions are written as Pi reads them, one file a trajectory, and read back the same."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from harness import cli
from harness.convert import main
from harness.demo import expert_path
from tests.trajectories.made import TRAJECTORIES
from tests.trajectories.reading import read
from trajectories import Action, Step, Trajectory
from trajectories.store import read_trajectories
from trajectories.types import JSON
from trajectories.writers import WRITERS

LS = Action(name="bash", arguments={"command": "ls"})
READ = Action(name="read", arguments={"path": "a.py"})
TWO = Trajectory(
    trajectory_id="acme/widgets#1",
    instance_id="acme__widgets-1",
    task="Fix it.",
    source="trae",
    model="claude-x",
    resolved=True,
    metadata={"repo": "/home/ada/widgets"},
    steps=(
        Step(thought="Look.", reasoning="Where?", actions=(LS, READ), observation="a.py\nx"),
        Step(thought="Hm.", reasoning="Hm.", actions=(), observation="Go on."),
        Step(thought="", actions=(LS,), observation="", target=False),
        Step(thought="Done.", actions=(), observation=""),
    ),
)


def session(trajectory: Trajectory) -> list[JSON]:
    return [json.loads(json.dumps(row)) for row in WRITERS["pi"](trajectory, Counter())]


def test_session_has_pis_entries_in_one_line_of_parents() -> None:
    header, *entries = session(TWO)
    assert (header["type"], header["version"], header["cwd"]) == ("session", 3, "/home/ada/widgets")
    assert [entry["parentId"] for entry in entries] == [None, *(entry["id"] for entry in entries[:-1])]
    assert all(entry["timestamp"] for entry in (header, *entries))
    assert [entry["type"] for entry in entries] == ["custom", *["message"] * (len(entries) - 1)]
    messages = [entry["message"] for entry in entries[1:]]
    results = ["toolResult", "toolResult"]
    assert [message["role"] for message in messages] == [
        "user", "assistant", *results, "assistant", "user", "assistant", "toolResult", "assistant"
    ]  # fmt: skip
    assert [block["type"] for block in messages[1]["content"]] == ["thinking", "text", "toolCall", "toolCall"]
    assert messages[1]["stopReason"] == "toolUse"
    assert [message["toolCallId"] for message in messages[2:4]] == ["call_0_0", "call_0_1"]
    assert [message["content"] for message in messages[2:4]] == [[], [{"type": "text", "text": "a.py\nx"}]]


def test_ours_to_pi_to_ours_is_identical() -> None:
    for trajectory in (TWO, *read_trajectories(expert_path())):
        (found,), _ = read(session(trajectory), "pi")
        assert found == trajectory


def test_any_trajectory_comes_back_identical() -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TRAJECTORIES)
    def holds(trajectory: Trajectory) -> None:
        assert read(session(trajectory), "pi")[0] == [trajectory]

    holds()


def test_session_that_somebody_went_on_with_is_read_as_a_foreign_one() -> None:
    lines = session(TWO)
    message = {"role": "user", "content": "And the docs?"}
    lines.append({"type": "message", "id": "x", "parentId": lines[-1]["id"], "message": message})
    (found,), _ = read(lines, "pi")
    assert (found.source, found.instance_id) == ("pi", "acme/widgets#1")
    assert [step.actions for step in found.steps] == [step.actions for step in TWO.steps]
    assert [step.reasoning for step in found.steps] == [step.reasoning for step in TWO.steps]
    assert found.steps[-1].observation == "And the docs?"


@pytest.mark.parametrize("spoil", [{"role": "assistant"}, {"content": None}, {"role": 7, "content": []}])
def test_session_of_ours_that_was_spoilt_is_still_read(spoil: JSON) -> None:
    lines = session(TWO)
    lines[3] = {**lines[3], "message": spoil}
    assert len(read(lines, "pi")[0]) == 1


def store(tmp_path: Path, *trajectories: Trajectory) -> Path:
    rows = [row for trajectory in trajectories for row in WRITERS["store"](trajectory, Counter())]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def convert(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def test_conversion_writes_a_folder_of_sessions_and_reads_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Trajectory(
        trajectory_id="acme_widgets#1", instance_id="i", task="t", source="trae", steps=TWO.steps[:1]
    )
    path = store(tmp_path, TWO, other)
    assert convert(path, "--to", "pi", "--out", tmp_path / "sessions") == 0
    names = sorted(file.name for file in (tmp_path / "sessions").iterdir())
    assert names == ["acme_widgets#1.jsonl", "acme_widgets#1~2.jsonl"]
    assert "as 17 rows (pi)" in capsys.readouterr().out
    written = b"".join((tmp_path / "sessions" / name).read_bytes() for name in names)
    assert f"sha256 `{sha256(written).hexdigest()}`" in (tmp_path / "sessions.card.md").read_text()
    assert (
        convert(tmp_path / "sessions", "--out", tmp_path / "back.jsonl", "--ledger", tmp_path / "l.json") == 0
    )
    assert list(read_trajectories(tmp_path / "back.jsonl")) == [TWO, other]


def test_conversion_never_writes_into_a_folder_with_files(tmp_path: Path) -> None:
    path = store(tmp_path, TWO)
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "mine.txt").write_text("keep")
    assert convert(path, "--to", "pi", "--out", folder, "--force") == 2
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


def test_conversion_that_keeps_nothing_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"type": "nothing"}\n')
    assert convert(path, "--to", "pi", "--out", tmp_path / "sessions") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.jsonl", "ledger.json"]
