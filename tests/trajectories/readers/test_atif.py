"""ATIF as Harbor writes it: whose step it is, which steps are one reply, what the model wrote and saw."""

import json

import pytest

from tests.trajectories.harbor_runs import (
    METERED,
    Object,
    asked,
    asks,
    bash,
    commands,
    document,
    executed,
    says,
)
from tests.trajectories.reading import one, read
from trajectories.types import JSON

# --- Claude Code's sub-agents


def test_subagents_among_the_steps_by_time_are_trajectories_of_their_own() -> None:
    side: Object = {"is_sidechain": True}
    found, ledger = read(document([
        asks("Fix it."),
        says("Both.", asked("t1", "Look."), asked("t2", "Test.")),
        asks("Look.", agent_id="x", **side), asks("Test.", agent_id="y", **side),
        says("", bash("y1"), agent_id="y", **side), says("In x.", bash("x1"), agent_id="x", **side),
        says("Fixed.", agent_id="x", **side), says("Passed.", agent_id="y", **side),
        says("Write.", bash("m1")),
    ]))  # fmt: skip
    assert [(t.trajectory_id, t.task, commands(t)) for t in found] == [
        ("s1", "Fix it.", [["Task", "Task"], ["m1"]]),
        ("s1/x", "Look.", [["x1"], []]),
        ("s1/y", "Test.", [["y1"], []]),
    ]
    assert {t.model for t in found} == {"claude-big"}
    assert ledger.trajectories.kept == 3


def test_subagents_without_ids_run_one_after_the_other_or_cannot_be_told_apart() -> None:
    side: Object = {"is_sidechain": True}
    main = [asks("Fix it."), executed(asked("t1", "Look.")), executed(asked("t2", "Test."))]
    one_by_one = [
        asks("Look.", **side), executed(bash("x1"), **side), {"source": "user", "message": "Go on."},
        executed(bash("x2"), **side), asks("Test.", **side), executed(bash("y1"), **side), *main,
    ]  # fmt: skip
    found, _ = read(document(one_by_one))
    assert [(t.trajectory_id, t.task, commands(t)) for t in found] == [
        ("s1", "Fix it.", [["Task"], ["Task"]]), ("s1/1", "Look.", [["x1"], ["x2"]]), ("s1/2", "Test.", [["y1"]]),
    ]  # fmt: skip
    assert found[1].steps[0].observation.endswith("Go on.")
    at_once = [
        asks("Look.", **side),
        asks("Test.", **side),
        executed(bash("x1"), **side),
        executed(bash("y1"), **side),
    ]
    found, ledger = read(document([*at_once, *main]))
    assert [t.trajectory_id for t in found] == ["s1"]
    assert ledger.trajectories.dropped == {"subagents_not_told_apart": 1}
    assert ledger.steps.dropped == {"subagents_not_told_apart": 2}


def test_a_document_of_one_agent_stays_one_trajectory() -> None:
    own = [asks("Fix it.", agent_id="x"), says("", bash("x1"), agent_id="x")]
    assert one(document(own)).trajectory_id == "s1"
    side = [asks("Fix it.", is_sidechain=True), says("", bash("x1"), is_sidechain=True)]
    assert one(document(side)).trajectory_id == "s1"


# --- Replies that Harbor took apart


def test_steps_of_one_reply_are_one_turn() -> None:
    def at(second: int, step: Object, **more: JSON) -> Object:
        return step | {"timestamp": f"2026-01-01T00:00:{second:02}Z"} | more

    steps = [
        at(0, asks("Fix it.")),
        at(1, says("", reasoning="Where?"), **METERED), at(2, says("Look.")),
        at(4, executed(bash("b"))), at(3, executed(bash("a"))),  # the second call was faster
        at(6, executed(bash("c")), **METERED), at(8, says("Done."), **METERED),
    ]  # fmt: skip
    trajectory = one(document(steps))
    assert commands(trajectory) == [["a", "b"], ["c"], []]
    assert [(s.thought, s.reasoning) for s in trajectory.steps] == [
        ("Look.", "Where?"),
        ("", ""),
        ("Done.", ""),
    ]
    assert trajectory.steps[0].observation == "[stdout]\nsaw a\n[stdout]\nsaw b"


def test_a_text_is_one_reply_with_the_call_after_it_where_nothing_is_metered() -> None:
    def ls(message: str) -> Object:
        return says(message, bash("a")) | {"extra": None}

    for message in ("Executed Bash", "Executed Bash a", "Executed Bash (no result)"):
        steps = [asks("Fix it."), says("Look.") | {"extra": None}, ls(message), ls(message)]
        trajectory = one(document(steps, agent="copilot-cli"))
        assert [step.thought for step in trajectory.steps] == ["Look.", ""]
    whole = one(document([asks("Fix it."), says("I am done."), says("Executed it.", bash("a"))]))
    assert [step.thought for step in whole.steps] == ["I am done.", "Executed it."]


@pytest.mark.parametrize("message", ["(tool use)", "[tool call]", "(no assistant text)", "[tool call: Bash]"])
def test_placeholders_of_harbor_are_no_thought(message: str) -> None:
    assert one(document([asks("Fix it."), says(message, bash("a"))], agent="kimi-cli")).steps[0].thought == ""


# --- What the model saw


def test_results_are_those_that_the_model_saw() -> None:
    step = says("Look.", bash("a"), bash("b"), bash("c"))
    first, second, third = step["observation"]["results"]
    first["extra"] = {"tool_result_metadata": {"raw_tool_result": {"type": "tool_result", "content": "a.py"}}}
    blocks = [{"type": "text", "text": "b.py"}, {"type": "text", "text": "c.py"}]
    second["extra"] = {"tool_result_metadata": {"raw_tool_result": {"content": blocks, "is_error": True}}}
    third["content"] = "\n\n".join(json.dumps(block) for block in blocks)
    assert one(document([asks("Fix it."), step])).steps[0].observation == "a.py\nb.py\nc.py\nb.py\nc.py"
    old = executed(bash("a"), tool_result_metadata={"raw_tool_result": {"content": "a.py"}})
    assert one(document([asks("Fix it."), old])).steps[0].observation == "a.py"
    text = '{"type": "text"} is what it prints'
    third["content"], step["tool_calls"] = text, step["tool_calls"]
    assert one(document([asks("Fix it."), step])).steps[0].observation.endswith(text)


@pytest.mark.parametrize(
    "result",
    [
        {
            "extra": {"openclaw_role": "toolResult", "tool_call_id": "a"},
            "observation": {"results": [{"content": "a.py"}]},
        },
        {"extra": {"role": "tool", "toolCallId": "a"}, "observation": None},
        {"observation": {"results": [{"content": "a.py"}]}},
    ],
)
def test_results_that_stand_as_steps_of_the_agent(result: Object) -> None:
    call = says("", bash("a"), reasoning="Where?")
    del call["observation"]
    steps = [asks("Fix it."), call, {"source": "agent", "message": "a.py", **result}, says("Done.")]
    (trajectory,), ledger = read(document(steps, agent="openclaw"))
    assert commands(trajectory) == [["a"], []]
    assert [step.observation for step in trajectory.steps] == ["a.py", ""]
    assert "turn_without_result" not in ledger.notes


def test_copied_steps_and_those_of_programs_are_context() -> None:
    copied = {**says("Old.", bash("a")), "is_copied_context": True}
    program = {**says("", bash("b")), "llm_call_count": 0}
    (trajectory,), ledger = read(document([asks("Fix it."), copied, program, says("Now.", bash("c"))]))
    assert [step.target for step in trajectory.steps] == [False, False, True]
    assert (ledger.notes["copied_context"], ledger.notes["not_of_the_model"]) == (1, 1)
    found, ledger = read(
        document([asks("Fix it."), copied, says("A summary.")])
    )  # an inner call of a summary
    assert (found, ledger.trajectories.dropped) == ([], {"no_step_with_action": 1})


@pytest.mark.parametrize("value", [None, 7, "x", [], [7], {"a": 1}])
@pytest.mark.parametrize(
    "key",
    [
        "extra",
        "metrics",
        "observation",
        "reasoning_content",
        "timestamp",
        "llm_call_count",
        "is_copied_context",
    ],
)
def test_odd_fields_lose_no_turn(key: str, value: JSON) -> None:
    odd = executed(bash("a")) | {key: value}
    whole = document([asks("Fix it."), odd, says("Done.", bash("b"))], agent="x")
    trajectory = one(whole | {"steps": [*whole["steps"], None, 7]})
    assert commands(trajectory) == [["a"], ["b"]]


def test_a_placeholder_for_a_call_that_was_not_json_is_no_action() -> None:
    bad = ("a", "terminal", {"_openhands_malformed_tool_call": True, "error": "Not JSON."})
    steps = [asks("Fix it."), says("", bad), says("Both.", bash("b"), bad), says("Now.", bash("c"))]
    (trajectory,), ledger = read(document(steps, agent="openhands"))
    assert commands(trajectory) == [[], ["b"], ["c"]]
    assert [step.target for step in trajectory.steps] == [False, False, True]
    assert trajectory.steps[1].observation == "[stdout]\nsaw b\n[stdout]\nsaw a"
    assert ledger.notes["refused_call"] == 2
