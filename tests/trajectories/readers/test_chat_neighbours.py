"""Chats of other families: Vercel AI SDK, the Agent Data Protocol, R2E-Gym."""

from collections.abc import Iterator
from copy import deepcopy

import pytest

from tests.trajectories.reading import one, read
from tests.trajectories.seeds import SEEDS
from trajectories.types import JSON, Action, Trajectory

USER = {"role": "user", "content": "Fix a.py"}
LS = Action(name="bash", arguments={"command": "ls"})


def said(content: JSON) -> dict[str, JSON]:
    return {"role": "assistant", "content": content}


def names(trajectory: Trajectory) -> list[list[str]]:
    return [[action.name for action in step.actions] for step in trajectory.steps]


# --- Vercel AI SDK


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"type": "text", "value": "a.py"}, "a.py"),
        ({"type": "json", "value": {"files": ["a.py"]}}, '{"files": ["a.py"]}'),
        ({"type": "error-text", "value": "no such file"}, "no such file"),
        ({"type": "error-json", "value": {"code": 2}}, '{"code": 2}'),
        (
            {
                "type": "content",
                "value": [{"type": "text", "text": "a.py"}, {"type": "image-data", "data": "x"}],
            },
            "a.py\n[image-data]",
        ),
        ({"type": "execution-denied", "reason": "Not now."}, "Not now."),
        ({"type": "execution-denied"}, "[execution-denied]"),
    ],
)
def test_ai_sdk_results(output: JSON, text: str) -> None:
    call = {"type": "tool-call", "toolCallId": "c1", "toolName": "bash", "input": {"command": "ls"}}
    parts = [{"type": "reasoning", "text": "Why."}, {"type": "text", "text": "Look."}, call]
    answer = {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "output": output}]}
    trajectory = one({"messages": [USER, said(parts), answer], "model": "m"})
    (step,) = trajectory.steps
    assert (trajectory.source, trajectory.task, trajectory.model) == ("ai-sdk", "Fix a.py", "m")
    assert (step.thought, step.reasoning, step.actions, step.observation) == ("Look.", "Why.", (LS,), text)


def test_ai_sdk_version_4_and_a_log_with_response_messages() -> None:
    call = {"type": "tool-call", "toolCallId": "c1", "toolName": "bash", "args": {"command": "ls"}}
    answer = {"type": "tool-result", "toolCallId": "c1", "toolName": "bash", "result": {"code": 0}}
    more = [said([call]), {"role": "tool", "content": [answer]}, said("Done.")]
    log = {
        "messages": [USER, said([{**call, "toolCallId": "c0"}])],
        "response": {"id": "r", "messages": more},
    }
    assert names(one(log)) == [["bash"], ["bash"], []]
    assert one([USER, *more]).steps[0].observation == '{"code": 0}'
    assert one([USER, said([call, answer])]).steps[0].observation == '{"code": 0}'  # run by the provider


def test_ai_sdk_messages_of_a_user_interface() -> None:
    tool = {"toolCallId": "c1", "state": "output-available", "input": {"command": "ls"}, "output": "a.py"}
    old = {
        "toolCallId": "c1",
        "state": "result",
        "toolName": "bash",
        "args": {"command": "ls"},
        "result": "a.py",
    }
    for part in (
        {"type": "tool-bash", **tool},
        {"type": "dynamic-tool", "toolName": "bash", **tool},
        {"type": "tool-invocation", "toolInvocation": old},
    ):
        parts = [
            {"type": "step-start"}, {"type": "text", "text": "Look."}, part,
            {"type": "step-start"}, {"type": "text", "text": "Done."},
        ]  # fmt: skip
        chat = [
            {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Fix a.py"}]},
            {"id": "m2", "role": "assistant", "parts": parts},
        ]
        trajectory = one(chat)
        assert (trajectory.source, trajectory.task) == ("ai-sdk", "Fix a.py")
        first, last = trajectory.steps
        assert (first.thought, first.actions, first.observation) == ("Look.", (LS,), "a.py")
        assert (last.thought, last.actions) == ("Done.", ())


# --- ADP


def observed(content: str, source: str = "environment", **more: JSON) -> dict[str, JSON]:
    return {"class_": "text_observation", "content": content, "source": source, "name": None, **more}


def code(content: str, description: str | None = None, **more: JSON) -> dict[str, JSON]:
    return {
        "class_": "code_action",
        "language": "bash",
        "content": content,
        "description": description,
        **more,
    }


def test_adp_rows() -> None:
    row = {
        "schema_version": "1.3.1", "id": "acme__w-1_0", "details": {"resolved": True, "model": "m"},
        "content": [
            observed("You solve tasks."),
            observed("Fix a.py", "user"),
            code("ls", "Look.", reasoning_content="Why."),
            observed("a.py"),
            {"class_": "api_action", "function": "view", "kwargs": {"path": "a.py"}, "description": None},
            {"class_": "web_observation", "url": "https://a.example", "axtree": "root", "html": "<p>"},
            {"class_": "message_action", "content": "Is that all?", "description": None},
            observed("Yes.", "user"),
            {"class_": "code_action", "language": "python", "content": "1 + 1", "description": ""},
            {"class_": "json_observation", "content": {"a": 1}, "source": "environment"},
        ],
    }  # fmt: skip
    trajectory = one(row)
    assert (trajectory.source, trajectory.trajectory_id, trajectory.instance_id) == (
        "adp", "acme__w-1_0", "acme__w-1",
    )  # fmt: skip
    assert (trajectory.task, trajectory.resolved, trajectory.model) == ("Fix a.py", True, "m")
    assert trajectory.metadata["prompt"] == "You solve tasks.\n\nFix a.py"
    look, view, ask, run = trajectory.steps
    assert (look.thought, look.reasoning, look.actions, look.observation) == ("Look.", "Why.", (LS,), "a.py")
    assert view.actions == (Action(name="view", arguments={"path": "a.py"}),)
    assert view.observation == "https://a.example\nroot"
    assert (ask.thought, ask.actions, ask.observation) == ("Is that all?", (), "Yes.")
    assert (run.actions, run.observation) == (
        (Action(name="python", arguments={"code": "1 + 1"}),),
        '{"a": 1}',
    )


def test_adp_turns() -> None:
    message = {"class_": "message_action", "content": "I look.", "description": None}
    together = [
        message, code("ls", tool_call_id="c1"), code("pwd", tool_call_id="c2"),
        observed("a.py", tool_call_id="c1"), observed("/w", tool_call_id="c2"),
    ]  # fmt: skip
    (step,) = one({"id": "r", "content": [observed("Fix a.py", "user"), *together]}).steps
    assert (step.thought, step.observation) == ("I look.", "a.py\n/w")
    assert [action.arguments["command"] for action in step.actions] == ["ls", "pwd"]
    in_turn = [code("ls"), code("pwd", tool_call_id="c1"), observed("/w", tool_call_id="c1")]
    first, second = one({"id": "r", "content": [observed("Fix a.py", "user"), *in_turn]}).steps
    assert (first.observation, second.observation) == ("", "/w")
    _, ledger = read({"id": "r", "content": [observed("Fix a.py", "user"), code("ls"), 7, {"class_": "new"}]})
    assert ledger.notes == {"item_not_understood": 2}


# --- R2E-Gym


def step_of(action: str, thought: str = "Look.", observation: str = "a.py") -> dict[str, JSON]:
    return {"step_idx": 0, "thought": thought, "action": action, "observation": observation, "done": False}


def test_r2e_gym_runs() -> None:
    view = (
        "<function=file_editor>\n  <parameter=command>view</parameter>\n"
        "  <parameter=path>/t/a.py</parameter>\n</function>"
    )
    run = {
        "trajectory_steps": [
            step_of(view), step_of("<function=>\n</function>", "<think>Why.</think>Hm.", "Please continue."),
            step_of("<function=finish>\n</function>", "", "<<< Finished >>>"),
        ],
        "problem_statement": "It hangs.", "docker_image": "acme/orange3_final:2d9617bd", "reward": 1.0,
        "output_patch": "diff --git a/a b/a", "exit_reason": "agent", "ds": {"patch": "the reference"},
        "agent_args": {"llm_name": "acme/m", "instance_prompt": "Issue:\n{problem_statement}\nFix it."},
    }  # fmt: skip
    trajectory = one(run)
    assert (trajectory.source, trajectory.task, trajectory.model) == ("r2e-gym", "It hangs.", "acme/m")
    assert (trajectory.resolved, trajectory.patch) == (True, "diff --git a/a b/a")
    assert (trajectory.instance_id, trajectory.repository) == ("acme/orange3_final:2d9617bd", "orange3")
    assert trajectory.metadata["prompt"] == "Issue:\nIt hangs.\nFix it."
    first, second, last = trajectory.steps
    assert first.actions == (Action(name="file_editor", arguments={"command": "view", "path": "/t/a.py"}),)
    assert (second.thought, second.reasoning, second.actions, second.observation) == (
        "Hm.", "Why.", (), "Please continue.",
    )  # fmt: skip
    assert last.actions == (Action(name="finish"),)


def test_r2e_gym_instances() -> None:
    steps = [step_of("<function=execute_bash>\n<parameter=cmd>ls</parameter>\n</function>"), 7]
    run = {"trajectory_steps": steps, "problem_statement": "It hangs."}
    (row,), ledger = read({**run, "ds": {"instance_id": "acme__w-1", "repo": "acme/w"}})
    assert (row.instance_id, row.repository) == ("acme__w-1", "acme/w")
    assert ledger.notes == {"step_not_understood": 1}
    image = "acme/verified:sweb.eval.x86_64.acme_1776_w-1"
    assert one({**run, "docker_image": image}).instance_id == "acme__w-1"
    assert "prompt" not in row.metadata


# --- Fields of a wrong type

WRONG: list[JSON] = [None, 7, 1.5, True, "", "x", [], [None], {}, {"type": 5}, [["a"]], "[1]"]
COLUMNS = {("messages",), ("content",), ("trajectory_steps",), ("request",), ("request", "messages")}


def places(value: JSON, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path to every part of a document except the document and its column of messages."""
    if path and path not in COLUMNS:
        yield path
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


@pytest.mark.parametrize("name", ["openai", "anthropic", "ai-sdk", "adp", "r2e-gym"])
def test_no_field_that_is_wrong_loses_a_document(name: str) -> None:
    document = SEEDS[name][0]
    for path in places(document):
        for wrong in WRONG:
            changed = deepcopy(document)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = wrong
            _, ledger = read(changed, name)
            assert ledger.trajectories.read == 1, path
