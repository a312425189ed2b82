"""OpenHands SDK (V1): what is one turn, one conversation, and what the model saw."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.trajectories.reading import one, read
from trajectories import Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.readers.scaffolds.openhands_sdk import conversation, in_order
from trajectories.sources.documents import Document
from trajectories.types import JSON

Object = dict[str, JSON]


def event(kind: str, event_id: str, source: str = "agent", **fields: JSON) -> Object:
    return {
        "kind": kind,
        "id": event_id,
        "timestamp": f"2026-01-01T00:00:{event_id[-2:]:0>2}",
        "source": source,
        **fields,
    }


def system(event_id: str = "s0", **fields: JSON) -> Object:
    return event("SystemPromptEvent", event_id, system_prompt={"type": "text", "text": "You are."}, **fields)


def asks(event_id: str, text: str, **fields: JSON) -> Object:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return event("MessageEvent", event_id, "user", llm_message=message, **fields)


def says(event_id: str, text: str, **message: JSON) -> Object:
    content = [{"type": "text", "text": text}]
    return event("MessageEvent", event_id, llm_message={"role": "assistant", "content": content, **message})


def acts(event_id: str, command: str, **fields: JSON) -> Object:
    arguments = json.dumps({"command": command, "security_risk": "LOW"})
    return event(
        "ActionEvent", event_id, thought=[{"type": "text", "text": f"Run {command}."}],
        action={"kind": "TerminalAction", "command": command}, tool_name="terminal", tool_call_id=f"c-{event_id}",
        tool_call={"id": f"c-{event_id}", "name": "terminal", "arguments": arguments, "origin": "completion"},
        llm_response_id=f"r-{event_id}",
    ) | fields  # fmt: skip


def saw(event_id: str, of: str, text: str, is_error: bool = False, **fields: JSON) -> Object:
    observation = {
        "kind": "TerminalObservation",
        "content": [{"type": "text", "text": text}],
        "is_error": is_error,
    }
    return event(
        "ObservationEvent", event_id, "environment", tool_name="terminal", tool_call_id=f"c-{of}", action_id=of,
        observation=observation, **fields,
    )  # fmt: skip


def refused(event_id: str, arguments: str, **fields: JSON) -> list[Object]:
    """Return a call that was not JSON, and the scaffold's answer."""
    call = {"id": f"c-{event_id}", "name": "terminal", "arguments": arguments, "origin": "completion"}
    error = event(
        "AgentErrorEvent",
        f"e-{event_id}",
        tool_name="terminal",
        tool_call_id=f"c-{event_id}",
        error="Not JSON.",
    )
    return [acts(event_id, "") | {"action": None, "tool_call": call} | fields, error]


def commands(trajectory: Trajectory) -> list[list[str]]:
    return [[action.arguments["command"] for action in step.actions] for step in trajectory.steps]


PLACEHOLDER = json.dumps({"_openhands_malformed_tool_call": True, "error": "Not JSON."})
STATE: Object = {
    "id": "x",
    "agent": {"kind": "Agent", "llm": {"model": "acme/m"}},
    "confirmation_policy": {"kind": "NeverConfirm"},
}
CONVERSATION = [
    system(),
    asks("m1", "Fix it."),
    acts("a1", "ls"),
    saw("o1", "a1", "a.py"),
    says("m2", "Done."),
]


# --- V1: results, context, reasoning, models


def test_sdk_results_show_errors_rejections_and_what_the_context_added() -> None:
    rules = {"extended_content": [{"type": "text", "text": "Rule: no tabs."}]}
    rejected = event(
        "UserRejectObservation",
        "o3",
        "environment",
        tool_call_id="c-a3",
        rejection_reason="Blocked by a hook.",
    )
    trajectory = one([
        asks("m1", "Fix it.", activated_skills=["ruff"], extended_content=[{"type": "text", "text": "Use ruff."}]),
        acts("a1", "cat no"), saw("o1", "a1", "cat: no such file", is_error=True, **rules),
        acts("a2", "ls"), saw("o2", "a2", "a.py"),
        acts("a3", "rm -r x"), rejected,
    ], "openhands-sdk")  # fmt: skip
    assert trajectory.task == "Fix it.\nUse ruff."
    assert [step.observation for step in trajectory.steps] == [
        "[An error occurred during execution.]\ncat: no such file\nRule: no tabs.",
        "a.py",
        "Action rejected: Blocked by a hook.",
    ]


def test_sdk_reasoning_of_servers_blocks_and_items() -> None:
    item = {"id": "rs", "summary": ["Plan first."], "encrypted_content": "x"}
    blocks = [
        {"type": "thinking", "thinking": "Is it there?", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    trajectory, ledger = read([
        asks("m1", "Fix it."),
        acts("a1", "ls", reasoning_content="Look around."), saw("o1", "a1", "a.py"),
        acts("a2", "pwd", thought=[], thinking_blocks=blocks), saw("o2", "a2", "/w"),
        acts("a3", "id", responses_reasoning_item=item), saw("o3", "a3", "root"),
        says("m2", "Done.", reasoning_content="That is all."),
    ], "openhands-sdk")  # fmt: skip
    assert [(step.thought, step.reasoning) for step in trajectory[0].steps] == [
        ("Run ls.", "Look around."), ("Is it there?", "Is it there?"), ("Run id.", "Plan first."),
        ("Done.", "That is all."),
    ]  # fmt: skip
    assert ledger.notes == {"final_message": 1, "reasoning_kept": 4}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (
            "stats",
            {"usage_to_metrics": {"condenser": {"model_name": "small"}, "agent": {"model_name": "acme/big"}}},
        ),
        (
            "stats",
            {"usage_to_metrics": {"condenser-1": {"model_name": "s"}, "llm-2": {"model_name": "acme/big"}}},
        ),
        ("full_state", {"stats": {"usage_to_metrics": {"default": {"model_name": "acme/big"}}}}),
        ("full_state", {"agent": {"llm": {"model": "acme/big"}}, "stats": {"usage_to_metrics": {}}}),
    ],
)
def test_sdk_state_names_the_model(key: str, value: JSON) -> None:
    update = event("ConversationStateUpdateEvent", "u1", "environment", key=key, value=value)
    odd = event("ConversationStateUpdateEvent", "u0", "environment", key="agent_status", value="running")
    assert one([odd, *CONVERSATION, update], "openhands-sdk").model == "acme/big"


@pytest.mark.parametrize("arguments", [PLACEHOLDER, '{"command": "ls', '"ls"'])
def test_sdk_refused_call_is_context_without_an_action(arguments: str) -> None:
    (trajectory,), ledger = read(
        [asks("m1", "Fix it."), *refused("a1", arguments), acts("a2", "ls"), saw("o2", "a2", "a.py")],
        "openhands-sdk",
    )
    assert commands(trajectory) == [[], ["ls"]]
    assert trajectory.steps[0].observation == "Not JSON."
    assert ledger.notes["refused_call"] == 1
    (silent,), _ = read(
        [asks("m1", "Fix it."), *refused("a1", arguments, thought=[]), acts("a2", "ls")], "openhands-sdk"
    )
    assert silent.steps[0].thought == f"terminal({arguments})"


def test_sdk_refused_call_beside_others_makes_the_turn_context() -> None:
    bad, error = refused("a2", PLACEHOLDER, llm_response_id="r-a1", thought=[])
    (trajectory,), _ = read(
        [asks("m1", "Fix it."), acts("a1", "ls"), bad, error, saw("o1", "a1", "a.py"), acts("a3", "pwd")],
        "openhands-sdk",
    )
    assert commands(trajectory) == [["ls"], ["pwd"]]
    assert [step.target for step in trajectory.steps] == [False, True]
    assert trajectory.steps[0].observation == "a.py\nNot JSON."


def test_sdk_events_that_are_kept_out_are_told() -> None:
    acp = [
        event(
            "ACPToolCallEvent",
            f"t{number}",
            tool_call_id=f"x{number // 2}",
            title="Read a.py",
            tool_kind="read",
        )
        for number in range(4)
    ]
    condensed = event("Condensation", "d1", "environment", summary="Earlier: …", forgotten_event_ids=["a1"])
    hook = event("HookExecutionEvent", "h1", "hook", hook_event_type="PreToolUse")
    _, ledger = read(
        [*CONVERSATION, *acp, condensed, hook, event("NewEvent", "n1"), 7, acts("a1", "ls")], "openhands-sdk"
    )
    assert ledger.notes == {
        "acp_call_without_its_tool": 2, "condensation_not_applied": 1, "unknown_event": 1, "not_an_event": 1,
        "event_twice": 1, "final_message": 1,
    }  # fmt: skip


# --- V1: whose turn is it


def chained(events: list[Object], first: str | None = None) -> list[Object]:
    parents = [first, *(one_event["id"] for one_event in events)]
    return [
        one_event | ({"parent_id": parent} if parent else {})
        for one_event, parent in zip(events, parents, strict=False)
    ]


def renamed(events: list[Object], mark: str) -> list[Object]:
    """Return the events of another conversation."""
    text = json.dumps(events)
    for name in ("s0", "m1", "m2", "a1", "o1"):
        text = text.replace(name, name + mark)
    other: list[Object] = json.loads(text)
    return other


def in_turn(first: list[Object], second: list[Object]) -> list[Object]:
    return [one_event for pair in zip(first, second, strict=True) for one_event in pair]


def test_sdk_conversations_of_one_log_are_told_apart() -> None:
    first, second = chained(CONVERSATION), chained(renamed(CONVERSATION, "x"))
    mixed = in_turn(first, second)
    without_prompts = in_turn(chained(CONVERSATION[1:]), chained(renamed(CONVERSATION[1:], "x")))
    old = [*CONVERSATION, *renamed(CONVERSATION, "x")]
    for events in (mixed, without_prompts, [*first, *second], old):
        found, ledger = read(events, "openhands-sdk", "runs/conv/events")
        assert [commands(trajectory) for trajectory in found] == [[["ls"], []], [["ls"], []]]
        assert [trajectory.trajectory_id for trajectory in found] == ["conv#1", "conv#2"]
        assert "result_without_call" not in ledger.notes
    mixed_old = in_turn(CONVERSATION, renamed(CONVERSATION, "x"))
    found, ledger = read(mixed_old, "openhands-sdk")
    assert (found, ledger.trajectories.dropped) == ([], {"conversations_not_told_apart": 1})


def test_sdk_branches_of_a_tree_are_trajectories_of_their_own() -> None:
    stem = chained(CONVERSATION[:4])
    other = chained([acts("a3", "pwd"), saw("o3", "a3", "/w")], "o1")
    end = chained([acts("a4", "id"), saw("o4", "a4", "root")], "o1")
    found, _ = read([*stem, *end, *other], "openhands-sdk", "runs/conv/events")
    assert [commands(trajectory) for trajectory in found] == [[["ls"], ["id"]], [["ls"], ["pwd"]]]
    assert [(t.trajectory_id, t.instance_id) for t in found] == [("conv#1", "conv"), ("conv#2", "conv")]
    lost, ledger = read([*stem[:2], *stem[3:], *end], "openhands-sdk")
    assert [commands(trajectory) for trajectory in lost] == [[["id"]]]
    assert ledger.notes["parent_event_missing"] == 1


def test_sdk_files_of_a_folder_and_their_order(tmp_path: Path) -> None:
    for name, events in (("one", CONVERSATION), ("two", renamed(CONVERSATION, "x"))):
        folder = tmp_path / name / "events"
        folder.mkdir(parents=True)
        for number, one_event in enumerate(events):
            (folder / f"event-{number:05}-{one_event['id']}.json").write_text(json.dumps(one_event))
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(one_event) + "\n" for one_event in events))
    (tmp_path / "one" / "base_state.json").write_text(json.dumps(STATE))
    files = sorted(tmp_path.rglob("*.json"))
    found = [trajectory for trajectory, _ in read_trajectories_of(files, Ledger())]
    assert [(t.trajectory_id, t.model) for t in found] == [
        ("one", "acme/m"), ("one~2", None), ("two", None), ("two~2", None),
    ]  # fmt: skip
    assert all(commands(trajectory) == [["ls"], []] for trajectory in found)


@pytest.mark.parametrize("name", ["base_state.json", "meta.json"])
@pytest.mark.parametrize("first", [True, False])
def test_sdk_state_in_an_archive_names_the_model(tmp_path: Path, name: str, first: bool) -> None:
    members = [(f"a/conv/events/event-{n:05}-{e['id']}.json", e) for n, e in enumerate(CONVERSATION)]
    members.insert(0 if first else len(members), (f"a/conv/{name}", STATE))
    other = [(f"a/other/events/event-{n:05}-{e['id']}.json", e) for n, e in enumerate(CONVERSATION)]
    with tarfile.open(tmp_path / "runs.tar.gz", "w:gz") as archive:
        for path, value in [*members, *other, ("a/empty/base_state.json", STATE)]:
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    ledger = Ledger()
    found = [t for t, _ in read_trajectories_of([tmp_path / "runs.tar.gz"], ledger)]
    assert [(t.trajectory_id, t.model) for t in found] == [("conv", "acme/m"), ("other", None)]
    assert all(commands(trajectory) == [["ls"], []] for trajectory in found)
    total = ledger.to_json()["total"]
    assert (total["skipped"], total["notes"]) == ({"no_trajectory": 1}, {"final_message": 2})


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, {"llm": None}, {"llm": {"model": 7}}])
def test_sdk_state_of_an_odd_shape_names_none(value: JSON) -> None:
    (trajectory,), _ = read([STATE | {"agent": value}, *CONVERSATION], "openhands-sdk", "runs/conv/events")
    assert (trajectory.model, commands(trajectory)) == (None, [["ls"], []])


def test_sdk_files_named_by_ids_are_sorted_by_time() -> None:
    times = {"f0": "2026-01-01T00:02:00", "0a": "2026-01-01T00:01:00"}
    files = [
        Document(value=asks(name, "Fix it.") | {"timestamp": time}, origin=f"conv/{name}.json")
        for name, time in times.items()
    ]
    assert [document.origin for document in in_order(files)] == ["conv/0a.json", "conv/f0.json"]
    assert {conversation(document) for document in files} == {"conv"}
    one_by_one = [
        Document(
            value=one_event | {"timestamp": f"{hour}{number}"}, origin=f"conv/event-{number:05}-{hour}.json"
        )
        for number in range(5)
        for hour, one_event in ((5, CONVERSATION[number]), (3, renamed(CONVERSATION, "x")[number]))
    ]
    found, _ = read([document.value for document in in_order(one_by_one)], "openhands-sdk")
    assert [commands(trajectory) for trajectory in found] == [[["ls"], []], [["ls"], []]]
    numbered = [Document(value=asks("x", ""), origin=f"conv/event_{number}_x.json") for number in (10, 9)]
    assert [document.path.name for document in in_order(numbered)] == ["event_9_x.json", "event_10_x.json"]


def test_sdk_rows_and_lists_under_history() -> None:
    row = {
        "instance_id": "acme__w-1_0", "attempt": 1, "test_result": {"git_patch": "diff --git a/a b/a"},
        "instruction": "Do it.", "metadata": {"llm": {"model": "acme/m"}}, "resolved": 1,
        "history": [event for event in CONVERSATION if event["id"] != "m1"],
    }  # fmt: skip
    trajectory = one(row)
    assert (trajectory.task, trajectory.instance_id, trajectory.model) == ("Do it.", "acme__w-1", "acme/m")
    assert (trajectory.patch, trajectory.resolved, commands(trajectory)) == (
        "diff --git a/a b/a",
        True,
        [["ls"], []],
    )
    assert one(CONVERSATION).task == "Fix it."


@pytest.mark.parametrize("value", [None, 7, "x", [], [7], {"a": 1}])
@pytest.mark.parametrize(
    "key", ["thought", "action", "tool_call", "tool_call_id", "llm_response_id", "parent_id", "id"]
)
def test_sdk_odd_fields_lose_no_other_turn(key: str, value: JSON) -> None:
    events = [
        asks("m1", "Fix it."),
        acts("a1", "ls") | {key: value},
        saw("o1", "a1", "x"),
        acts("a2", "pwd"),
        says("m2", "Done."),
    ]
    (trajectory,), _ = read(events, "openhands-sdk")
    assert ["pwd"] in commands(trajectory)
