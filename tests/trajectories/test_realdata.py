"""Real trajectory sets: everything converts, the ledger adds up, and every kind of drop is a known one."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.convert import main
from trajectories import Trajectory
from trajectories.ledger import FileLedger
from trajectories.readers import READERS
from trajectories.readers.detect import detect
from trajectories.sources.documents import Document
from trajectories.store import read_trajectories
from trajectories.types import JSON
from trajectories.vocabulary import canonical, original
from trajectories.writers import WRITERS

pytestmark = pytest.mark.realdata

# Folder -> (trajectories kept, steps read, steps dropped by reason, kept steps without an action by reason).
# Each reason was checked: docs/inspection.md.
EXPECTED = {
    "isobench_trae_sonnet45": (278, 13139, {}, {"no_action": 36}),
    "sweagent_claude35sonnet_verified": (502, 16906, {"exit_marker": 90}, {}),
    "swesmith": (10, 299, {}, {}),
    "mini_swe_agent": (
        502,
        20175,
        {},
        {"several_command_blocks": 679, "no_action": 4, "no_command_block": 1},
    ),
    "openhands_claude35sonnet_verified50": (50, 1144, {}, {"no_action": 31}),
    "moatless_claude35sonnet_lite271": (285, 2584, {}, {}),
    "openhands_other": (42, 2534, {"no_task": 5}, {"final_message": 1}),
    "claude_code": (
        58,
        975,
        {"no_step_with_action": 64, "no_task": 13},
        {"final_message": 105, "no_action": 51},
    ),
}
# Folder -> (kept trajectories whose model is known, with a patch, kept steps with reasoning).
KNOWN = {
    "isobench_trae_sonnet45": (278, 228, 0),
    "sweagent_claude35sonnet_verified": (0, 491, 0),
    "swesmith": (7, 10, 0),
    "mini_swe_agent": (500, 499, 620),
    "openhands_claude35sonnet_verified50": (50, 0, 0),
    "moatless_claude35sonnet_lite271": (285, 272, 0),
    "openhands_other": (40, 5, 0),
    "claude_code": (58, 0, 154),
}
DIFFS = ("diff --git ", "--- ", "commit ")
WITHOUT_ACTION = {"no_action", "final_message", "several_command_blocks", "no_command_block"}


def folder(name: str) -> Path:
    root = os.environ.get("SRL_AGENT_REAL_DATA")
    if not root:
        pytest.skip("SRL_AGENT_REAL_DATA is not set")
    path = Path(root) / "trajectories" / name
    if not path.is_dir():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_set_converts(name: str, tmp_path: Path) -> None:
    assert main([str(folder(name)), "--out", str(tmp_path / "o.jsonl")]) == 0
    total = json.loads((tmp_path / "ledger.json").read_text())["total"]
    kept, read, dropped, without_action = EXPECTED[name]
    assert total["trajectories"]["kept"] == kept
    assert (total["steps"]["read"], total["steps"]["dropped"]) == (read, dropped)
    assert {what: n for what, n in total["notes"].items() if what in WITHOUT_ACTION} == without_action
    known: Counter[str] = Counter()
    for line in (tmp_path / "o.jsonl").open():
        trajectory = json.loads(line)
        known.update(what for what in ("model", "patch") if trajectory[what])
        known["reasoning"] += sum(bool(step.get("reasoning")) for step in trajectory["steps"])
        assert trajectory["task"]
        assert trajectory["patch"] is None or trajectory["patch"].lstrip().startswith(DIFFS)
        assert all(step["actions"] or step["thought"].strip() for step in trajectory["steps"])
        assert all(action["name"] for step in trajectory["steps"] for action in step["actions"])
    assert (known["model"], known["patch"], known["reasoning"]) == KNOWN[name]
    assert total["notes"].get("reasoning_kept", 0) == known["reasoning"]


def test_moatless_patches_are_those_that_were_published(tmp_path: Path) -> None:
    path = folder("moatless_claude35sonnet_lite271")
    predictions = [json.loads(line) for line in (path / "all_preds.jsonl").open()]
    published = {row["instance_id"]: row["model_patch"] for row in predictions}
    assert main([str(path), "--out", str(tmp_path / "o.jsonl")]) == 0
    last = {t.instance_id: t.patch or "" for t in read_trajectories(tmp_path / "o.jsonl")}
    assert len(last) == 271
    assert last == {instance_id: published[instance_id] for instance_id in last}


@pytest.mark.parametrize("name", EXPECTED)
def test_store_holds_what_the_source_does(name: str, tmp_path: Path) -> None:
    assert main([str(folder(name)), "--out", str(tmp_path / "o.jsonl"), "--validate"]) == 0


@pytest.mark.parametrize("name", EXPECTED)
def test_set_survives_every_format(name: str, tmp_path: Path) -> None:
    """Each ATIF document gives its trajectory back, each pivot row the trajectory up to its step."""
    assert main([str(folder(name)), "--out", str(tmp_path / "o.jsonl")]) == 0
    for trajectory in read_trajectories(tmp_path / "o.jsonl"):
        (row,) = WRITERS["atif"](trajectory, Counter())
        assert read_row("atif", row) == trajectory
        for row in WRITERS["pivot"](trajectory, Counter()):
            found = read_row("pivot", row)
            acted = row["srl_agent"]["step_index"] + 1
            assert found.steps[:acted] == trajectory.steps[:acted]
        assert found == trajectory


def read_row(format_name: str, row: Mapping[str, JSON]) -> Trajectory:
    document = Document(value=json.loads(json.dumps(row)), origin="row.json")
    assert detect(document.value).name == format_name
    (trajectory,) = READERS[format_name](document, FileLedger("row.json", format_name))
    return trajectory


# Share of the calls that the common vocabulary has a place for; the others are tools of one program alone.
MAPPED = {"claude_code": 0.95, "moatless_claude35sonnet_lite271": 0.999}


@pytest.mark.parametrize("name", EXPECTED)
def test_calls_of_a_set_are_in_the_vocabulary_and_come_back(name: str, tmp_path: Path) -> None:
    assert main([str(folder(name)), "--out", str(tmp_path / "o.jsonl")]) == 0
    mapped = total = 0
    for trajectory in read_trajectories(tmp_path / "o.jsonl"):
        for action in (action for step in trajectory.steps for action in step.actions):
            total += 1
            if (found := canonical(action)) is not None:
                mapped += 1
                assert original(found) == action
    assert mapped / total >= MAPPED.get(name, 1)


# Folder -> (trajectories kept, dropped by reason, notes of filters) under the shipped filters. About twenty of each
# kind were looked at; docs/filters.md says what is still found wrongly.
CLEAN = {
    "isobench_trae_sonnet45": (259, {"reads_the_future": 18, "weakens_tests": 1}),
    "sweagent_claude35sonnet_verified": (
        488,
        {"duplicate": 2, "fetches_the_fix": 1, "installs_a_release": 11},
    ),
    "mini_swe_agent": (502, {}),
    "openhands_claude35sonnet_verified50": (26, {"unresolved": 24}),
    "moatless_claude35sonnet_lite271": (279, {"weakens_tests": 6}),
    "openhands_other": (40, {"reads_the_future": 2}),
    "claude_code": (55, {"near_duplicate": 1, "no_target_left": 1, "reads_the_future": 1}),
    "swesmith": (4, {"duplicate": 3, "near_duplicate": 2, "unresolved": 1}),
}
MARKED = {
    "isobench_trae_sonnet45": {"failed_action": 189, "long_action": 1},
    "sweagent_claude35sonnet_verified": {"failed_action": 893, "loop": 10},
    "openhands_claude35sonnet_verified50": {"failed_action": 34},
}


@pytest.mark.parametrize("name", CLEAN)
def test_set_is_cleaned_as_known(name: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    assert main([str(folder(name)), "--out", str(out), "--filters", "clean"]) == 0
    total = json.loads((tmp_path / "ledger.json").read_text())["total"]
    plain_kept, steps_read, _, _ = EXPECTED[name]
    kept, dropped = CLEAN[name]
    known = {reason: n for reason, n in total["trajectories"]["dropped"].items() if reason in dropped}
    assert (total["trajectories"]["kept"], known) == (kept, dropped)
    assert plain_kept == kept + sum(dropped.values())
    assert total["steps"]["read"] == steps_read
    marked = {
        what.partition(":")[2]: n for what, n in total["notes"].items() if what.startswith("context_only:")
    }
    assert marked == MARKED.get(name, marked)
    stored = list(read_trajectories(out))
    assert sum(not step.target for t in stored for step in t.steps) <= sum(marked.values())
    # A second run finds nothing to take out, and nothing that was there before.
    again = tmp_path / "again.jsonl"
    assert main([str(out), "--out", str(again), "--filters", "clean", "--force"]) == 0
    assert again.read_bytes() == out.read_bytes()
    notes = json.loads((tmp_path / "ledger.json").read_text())["total"]["notes"]
    assert not [what for what in notes if what.startswith(("redacted:", "context_only:"))]


@pytest.mark.parametrize("name", CLEAN)
def test_marks_survive_the_formats(name: str, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    assert main([str(folder(name)), "--out", str(out), "--filters", "clean"]) == 0
    for trajectory in read_trajectories(out):
        (row,) = WRITERS["atif"](trajectory, Counter())
        assert read_row("atif", row) == trajectory
        *_, last = WRITERS["pivot"](trajectory, Counter())
        assert read_row("pivot", last) == trajectory
