"""Logs of command-line agents: Codex, Gemini CLI, Pi and OpenClaw, opencode; and Inspect's logs."""

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.trajectories.reading import one, read
from trajectories import Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.detect import detect
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.types import JSON

TASK = "Fix the sum in calc.py"


def names(trajectory: Trajectory) -> list[list[str]]:
    return [[action.name for action in step.actions] for step in trajectory.steps]


def notes(value: JSON, name: str) -> Counter[str]:
    return read(value, name)[1].notes


def through_file(lines: list[JSON], path: Path) -> tuple[list[Trajectory], Ledger]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ledger = Ledger()
    found = [trajectory for trajectory, _ in read_trajectories_of([path], ledger)]
    ledger.check()
    return found, ledger


# Codex: rollouts


def line(kind: str, **payload: JSON) -> JSON:
    return {"timestamp": "2026-08-01T00:00:00Z", "type": kind, "payload": payload}


def item(kind: str, **fields: JSON) -> JSON:
    return line("response_item", type=kind, **fields)


def said(role: str, text: str) -> JSON:
    return item(
        "message",
        role=role,
        content=[{"type": "input_text" if role == "user" else "output_text", "text": text}],
    )


def called(call_id: str, name: str = "shell", **arguments: JSON) -> JSON:
    return item("function_call", name=name, arguments=json.dumps(arguments), call_id=call_id)


def answered(call_id: str, output: JSON) -> JSON:
    return item("function_call_output", call_id=call_id, output=output)


GIT = {"commit_hash": "c0ffee", "branch": "main", "repository_url": "git@example.org:acme/widgets.git"}
META = line("session_meta", id="s-1", cwd="/home/ada/widgets", cli_version="0.150.0", git=GIT)
ROLLOUT = [
    META,
    said(
        "user", "# AGENTS.md instructions for /home/ada/widgets\n\n<INSTRUCTIONS>\nBe brief.\n</INSTRUCTIONS>"
    ),
    said("user", "<environment_context>\n  <cwd>/home/ada/widgets</cwd>\n</environment_context>"),
    line("turn_context", cwd="/home/ada/widgets", model="gpt-5.3-codex"),
    said("user", TASK),
    line("event_msg", type="user_message", message=TASK),
    item("reasoning", summary=[{"type": "summary_text", "text": "Look first."}], encrypted_content="gAAA"),
    said("assistant", "I look at the file."),
    called("c1", command=["bash", "-lc", "cat calc.py"]),
    line("event_msg", type="token_count", info=None),
    answered("c1", '{"output":"return a-b\\n","metadata":{"exit_code":0,"duration_seconds":0.1}}'),
    item("reasoning", summary=[], encrypted_content="gAAB"),
    item("custom_tool_call", name="apply_patch", call_id="c2", input="*** Begin Patch\n*** End Patch\n"),
    item("custom_tool_call_output", call_id="c2", output="Success"),
    said("assistant", "Done."),
]


def test_codex_rollout_gives_the_calls_with_reasoning_model_and_repository() -> None:
    trajectory = one(ROLLOUT, "codex")
    assert (trajectory.task, trajectory.model) == (TASK, "gpt-5.3-codex")
    assert names(trajectory) == [["shell"], ["apply_patch"]]
    first, second = trajectory.steps
    assert (first.thought, first.reasoning) == ("I look at the file.", "Look first.")
    assert first.actions[0].arguments == {"command": ["bash", "-lc", "cat calc.py"]}
    assert (first.observation, second.observation) == ("return a-b\n", "Success")
    assert second.actions[0].arguments == {"input": "*** Begin Patch\n*** End Patch\n"}
    assert trajectory.instance_id == "s-1"
    assert trajectory.metadata == {"version": "0.150.0", "repo": "acme/widgets", "base_commit": "c0ffee"}


def test_codex_counts_what_it_leaves_out() -> None:
    _, ledger = read([*ROLLOUT, line("from_the_future", x=1), "text", {"no": "payload"}], "codex")
    assert ledger.notes["context_message"] == 2
    assert ledger.notes["encrypted_reasoning"] == 1
    assert ledger.notes["unknown_line"] == 3
    assert ledger.steps.dropped == {"last_message": 1}


def test_codex_bare_rollout_of_the_first_versions() -> None:
    lines = [
        {"id": "old-1", "timestamp": "2025-06-01T00:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": TASK}]},
        {"type": "local_shell_call", "call_id": "c1", "status": "completed",
         "action": {"type": "exec", "command": ["ls"]}},
        {"type": "function_call_output", "call_id": "c1",
         "output": '{"output":"no","metadata":{"exit_code":2}}'},
    ]  # fmt: skip
    assert detect(lines[0]).name == "codex"
    trajectory = one(lines, "codex")
    assert (trajectory.instance_id, trajectory.task) == ("old-1", TASK)
    assert names(trajectory) == [["local_shell"]]
    assert trajectory.steps[0].observation == "no\n[exit code: 2]"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("plain", "plain"),
        ('{"output": broken', '{"output": broken'),
        ('{"rows": [1]}', '{"rows": [1]}'),
        (
            [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:"}],
            "a\n[input_image]",
        ),
        ({"content": "old form", "success": False}, "old form"),
        (None, ""),
    ],
)
def test_codex_output_in_each_form(output: JSON, text: str) -> None:
    lines = [META, said("user", TASK), called("c1"), answered("c1", output)]
    assert one(lines, "codex").steps[0].observation == text


def test_codex_ide_context_is_not_the_task() -> None:
    prompt = f"# Context from my IDE setup:\n\n## Open tabs:\n- a.py\n\n## My request for Codex:\n{TASK}\n"
    trajectory = one([META, said("user", prompt), called("c1"), answered("c1", "x")], "codex")
    assert trajectory.task == TASK
    assert "Open tabs" in trajectory.metadata["prompt"]


def test_codex_turns_that_the_user_took_back_are_dropped_turns() -> None:
    lines = [
        META, said("user", TASK), called("c1", command="ls"), answered("c1", "calc.py"),
        said("user", "Delete it."), called("c2", command="rm calc.py"), answered("c2", ""),
        line("event_msg", type="thread_rolled_back", num_turns=1),
        said("user", "Change it."), called("c3", command="sed"), answered("c3", "ok"),
    ]  # fmt: skip
    trajectories, ledger = read(lines, "codex")
    assert [step.actions[0].arguments["command"] for step in trajectories[0].steps] == ["ls", "sed"]
    assert ledger.steps.dropped == {"rolled_back": 1}
    assert "Delete" not in trajectories[0].steps[0].observation


@pytest.mark.parametrize(
    ("meta", "parent"),
    [
        ({"forked_from_id": "s-0"}, "s-0"),
        ({"source": {"subagent": {"thread_spawn": {"parent_thread_id": "s-0", "depth": 1}}}}, "s-0"),
        ({"source": "cli"}, None),
    ],
)
def test_codex_fork_or_sub_agent_names_its_parent(meta: JSON, parent: str | None) -> None:
    lines = [
        line("session_meta", id="s-2", **meta),
        META,
        said("user", TASK),
        called("c1"),
        answered("c1", ""),
    ]
    trajectory = one(lines, "codex")
    assert trajectory.trajectory_id == "s-2"
    assert trajectory.metadata.get("parent") == parent


def test_codex_compaction_is_the_task_only_if_nothing_comes_before_it() -> None:
    summary = line("compacted", message="So far: read calc.py.")
    late = one([*ROLLOUT[:-1], summary], "codex")
    assert (late.task, len(late.steps)) == (TASK, 2)
    early = one([META, summary, called("c1"), answered("c1", "x")], "codex")
    assert early.task == "So far: read calc.py."
    assert notes([META, summary, called("c1"), answered("c1", "x")], "codex")["compaction"] == 1


# Codex: event streams


def happened(kind: str, **fields: JSON) -> JSON:
    return {"type": f"item.{kind}", "item": fields}


STREAM = [
    {"type": "thread.started", "thread_id": "t-1"},
    {"type": "turn.started"},
    happened("completed", id="i0", type="reasoning", text="**Look**"),
    happened("completed", id="i1", type="agent_message", text="I look."),
    happened("started", id="i2", type="command_execution", command="bash -lc ls", aggregated_output=""),
    happened("started", id="i3", type="command_execution", command="bash -lc pwd", aggregated_output=""),
    happened("completed", id="i2", type="command_execution", command="bash -lc ls",
             aggregated_output="calc.py", exit_code=0),
    happened("completed", id="i3", type="command_execution", command="bash -lc pwd",
             aggregated_output="no", exit_code=1),
    happened("completed", id="i4", type="file_change", changes=[{"path": "calc.py", "kind": "update"}],
             status="completed"),
    happened("completed", id="i5", type="mcp_tool_call", server="docs", tool="search", arguments={"q": "sum"},
             result={"content": [{"type": "text", "text": "found"}]}),
    happened("completed", id="i6", type="agent_message", text="Done."),
    {"type": "turn.completed", "usage": {}},
]  # fmt: skip


def test_codex_stream_gives_turns_under_the_name_of_the_file() -> None:
    assert detect(STREAM[0]).name == detect(STREAM[2]).name == "codex"
    (trajectory,), ledger = read(STREAM, "codex", origin="runs/acme__widgets-7/stream.jsonl")
    assert (trajectory.trajectory_id, trajectory.instance_id) == ("t-1", "acme__widgets-7")
    assert names(trajectory) == [["shell", "shell"], ["file_change"], ["search"]]
    assert [step.observation for step in trajectory.steps] == [
        "calc.py\nno\n[exit code: 1]",
        "completed",
        "found",
    ]
    assert (trajectory.steps[0].thought, trajectory.steps[0].reasoning) == ("I look.", "**Look**")
    assert [step.target for step in trajectory.steps] == [True, False, True]
    assert ledger.notes["call_without_its_text"] == ledger.notes["task_is_the_name"] == 1
    assert ledger.steps.dropped == {"last_message": 1}


def test_codex_stream_takes_its_task_from_the_tasks_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "acme__widgets-7.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in STREAM))
    tasks = {"acme__widgets-7": TASK}
    ((trajectory, account),) = read_trajectories_of([path], Ledger(), tasks=tasks)
    assert trajectory.task == TASK
    assert "task_is_the_name" not in account.notes


# Pi and OpenClaw

HEADER = {
    "type": "session",
    "version": 3,
    "id": "p-1",
    "timestamp": "2026-08-01T00:00:00.000Z",
    "cwd": "/repo",
}


def entry(own: str, parent: str | None, **message: JSON) -> JSON:
    return {"type": "message", "id": own, "parentId": parent, "timestamp": "t", "message": message}


def pi_user(own: str, parent: str | None, text: str) -> JSON:
    return entry(own, parent, role="user", content=[{"type": "text", "text": text}])


def pi_call(own: str, parent: str | None, call_id: str, name: str = "bash", **more: JSON) -> JSON:
    blocks = [{"type": "toolCall", "id": call_id, "name": name, "arguments": {"command": call_id}}]
    return entry(own, parent, role="assistant", content=blocks, **{"model": "claude-x", **more})


def pi_result(own: str, parent: str | None, call_id: str, content: JSON) -> JSON:
    return entry(own, parent, role="toolResult", toolCallId=call_id, toolName="bash", content=content)


def test_pi_session_with_thinking_and_messages_of_extensions() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "thinkingSignature": "x"},
        {"type": "thinking", "thinking": "[Reasoning redacted]", "redacted": True},
        {"type": "text", "text": "Looking."},
        {"type": "toolCall", "id": "c1", "name": "read", "arguments": {"path": "calc.py"}},
    ]
    lines = [
        HEADER,
        {"type": "model_change", "id": "m", "parentId": None, "provider": "p", "modelId": "claude-x"},
        pi_user("a", "m", TASK),
        entry("b", "a", role="assistant", content=blocks),
        pi_result(
            "c", "b", "c1", [{"type": "text", "text": "a-b"}, {"type": "image", "data": "", "mimeType": ""}]
        ),
        {
            "type": "custom_message",
            "id": "d",
            "parentId": "c",
            "customType": "x",
            "content": "Mind the tests.",
        },
        entry("e", "d", role="bashExecution", command="pytest", output="1 failed", exitCode=1),
        entry("f", "e", role="bashExecution", command="secret", output="", excludeFromContext=True),
        {"type": "label", "id": "g", "parentId": "f", "targetId": "a", "label": "x"},
        pi_call("h", "g", "c2"),
        pi_result("i", "h", "c2", []),
    ]
    trajectory = one(lines, "pi")
    assert (trajectory.task, trajectory.model, names(trajectory)) == (TASK, "claude-x", [["read"], ["bash"]])
    first = trajectory.steps[0]
    assert (first.thought, first.reasoning) == ("Looking.", "Hm.")
    assert first.observation == (
        "a-b\n[image]\nMind the tests.\nRan `pytest`\n```\n1 failed\n```\n\nCommand exited with code 1"
    )
    assert notes(lines, "pi")["encrypted_reasoning"] == 1
    assert trajectory.metadata == {"version": 3, "repo": "/repo"}


def test_pi_branches_are_trajectories_and_replies_that_failed_are_dropped() -> None:
    lines = [
        HEADER,
        pi_user("a", None, TASK),
        pi_call("b", "a", "c1"),
        pi_result("c", "b", "c1", [{"type": "text", "text": "one"}]),
        pi_call("d", "c", "c2"),
        {"type": "branch_summary", "id": "e", "parentId": "c", "fromId": "d", "summary": "Tried c2."},
        entry("f", "e", role="assistant", content=[], stopReason="error", errorMessage="overloaded"),
        pi_call("g", "f", "c3"),
        pi_result("h", "g", "c3", "text as a text"),
    ]
    (left, right), ledger = read(lines, "pi")
    assert [left.trajectory_id, right.trajectory_id] == ["p-1#1", "p-1#2"]
    assert [step.actions[0].arguments["command"] for step in left.steps] == ["c1", "c2"]
    assert [step.actions[0].arguments["command"] for step in right.steps] == ["c1", "c3"]
    assert "<summary>\nTried c2.</summary>" in right.steps[0].observation
    assert right.steps[1].observation == "text as a text"
    assert ledger.steps.dropped == {"api_error": 1}


def test_pi_version_1_has_no_tree_and_no_version() -> None:
    header = {"type": "session", "id": "p-0", "timestamp": "2025-11-20T23:33:50.805Z", "cwd": "/repo"}
    lines = [header, pi_user("", None, TASK), pi_call("", None, "c1"), pi_result("", None, "c1", "x")]
    lines = [{key: value for key, value in each.items() if key not in ("parentId",)} for each in lines]
    lines = [lines[0], *({k: v for k, v in each.items() if k != "id"} for each in lines[1:])]
    assert detect(header).name == "pi"
    trajectory = one(lines, "pi")
    assert (trajectory.instance_id, len(trajectory.steps), trajectory.steps[0].observation) == ("p-0", 1, "x")


def test_openclaw_mirrors_are_no_replies_and_its_results_may_be_objects() -> None:
    mirror = entry("d", "c", role="assistant", content="Sent.", provider="openclaw", model="delivery-mirror")
    mirror.pop("parentId")
    lines = [
        HEADER, pi_user("a", None, TASK), pi_call("b", "a", "c1", name="exec"),
        pi_result("c", "b", "c1", {"ok": True}), mirror,
        pi_call("e", "d", "c2", name="exec"),
    ]  # fmt: skip
    trajectories, ledger = read(lines, "pi")
    assert names(trajectories[0]) == [["exec"], ["exec"]]
    assert trajectories[0].steps[0].observation == '{"ok": true}'
    assert ledger.notes["reply_not_of_the_model"] == 1


def test_pi_parent_in_no_line_follows_the_line_before() -> None:
    lines = [HEADER, pi_user("a", None, TASK), pi_call("b", "lost", "c1"), pi_result("c", "b", "c1", "x")]
    trajectories, ledger = read(lines, "pi")
    assert (len(trajectories), trajectories[0].task) == (1, TASK)
    assert ledger.notes["parent_in_no_file"] == 1


def test_pi_several_sessions_in_one_file(tmp_path: Path) -> None:
    other = {**HEADER, "id": "p-2"}
    lines = [
        HEADER, pi_user("a", None, TASK), pi_call("b", "a", "c1"), pi_result("c", "b", "c1", "x"),
        other, pi_user("a", None, "Another"), pi_call("b", "a", "c1"), pi_result("c", "b", "c1", "y"),
    ]  # fmt: skip
    found, _ = through_file(lines, tmp_path / "sessions.jsonl")
    assert [(t.trajectory_id, t.task) for t in found] == [("p-1", TASK), ("p-2", "Another")]


def test_pi_thousands_of_branches_are_read_in_linear_time() -> None:
    lines = [HEADER, pi_user("a", None, TASK)]
    for number in range(3000):
        lines += [
            pi_call(f"b{number}", "a", f"c{number}"),
            pi_result(f"r{number}", f"b{number}", f"c{number}", "x"),
        ]
    trajectories, _ = read(lines, "pi")
    assert len(trajectories) == 3000


# Gemini CLI


def gemini(own: str, content: JSON = "", **more: JSON) -> JSON:
    return {
        "id": own,
        "timestamp": "t",
        "type": "gemini",
        "content": content,
        "model": "gemini-3-pro",
        **more,
    }


def gemini_user(own: str, text: str) -> JSON:
    return {"id": own, "timestamp": "t", "type": "user", "content": [{"text": text}]}


def gemini_call(call_id: str, output: str, name: str = "read_file") -> JSON:
    response = {"functionResponse": {"id": call_id, "name": name, "response": {"output": output}}}
    return {
        "id": call_id,
        "name": name,
        "args": {"path": "calc.py"},
        "result": [response],
        "status": "success",
    }


FACTS = {"sessionId": "g-1", "projectHash": "abc123", "startTime": "t", "lastUpdated": "t"}
THOUGHT = {"subject": "Reading", "description": "I look first.", "timestamp": "t"}


def test_gemini_session_document() -> None:
    messages = [
        gemini_user("0", "<session_context>\nToday is Monday."),
        gemini_user("1", "/clear"),
        gemini_user("2", "/home/ada/calc.py is wrong"),
        {"id": "3", "type": "info", "content": "Update available"},
        gemini(
            "4", "Looking.", thoughts=[THOUGHT], toolCalls=[gemini_call("c1", "a-b"), gemini_call("c2", "x")]
        ),
        gemini("5", "Done."),
    ]
    value = {**FACTS, "messages": messages}
    assert detect(value).name == "gemini"
    trajectory = one(value, "gemini")
    assert trajectory.task == "/home/ada/calc.py is wrong"
    assert names(trajectory) == [["read_file", "read_file"], []]
    first = trajectory.steps[0]
    assert (first.thought, first.reasoning) == ("Looking.", "**Reading** I look first.")
    assert first.observation == "a-b\nx"
    assert (trajectory.model, trajectory.instance_id) == ("gemini-3-pro", "g-1")
    found = notes(value, "gemini")
    assert (found["context_message"], found["command_of_the_program"], found["message_of_the_program"]) == (
        1,
        1,
        1,
    )


def test_gemini_records_replace_rewind_and_update() -> None:
    response = {"functionResponse": {"id": "c1", "name": "read_file", "response": {"output": "a-b"}}}
    lines = [
        FACTS,
        gemini_user("1", TASK),
        gemini("2", "Looking."),
        gemini("2", "Looking.", toolCalls=[gemini_call("c1", "a-b")]),
        {"id": "3", "type": "user", "content": [response]},
        {"$set": {"lastUpdated": "later"}},
        gemini_user("4", "Delete it."),
        gemini("5", "", toolCalls=[gemini_call("c2", "gone", name="delete")]),
        {"$rewindTo": "4"},
        gemini_user("6", "Change it."),
        gemini("7", "", toolCalls=[gemini_call("c3", "ok", name="replace")]),
    ]
    trajectories, ledger = read(lines, "gemini")
    assert names(trajectories[0]) == [["read_file"], ["replace"]]
    assert trajectories[0].steps[0].observation == "a-b\nChange it."
    assert ledger.steps.dropped == {"rolled_back": 1}


def test_gemini_compression_keeps_the_replies_that_it_leaves_out() -> None:
    lines = [
        FACTS,
        gemini_user("1", TASK),
        gemini("2", "Looking.", toolCalls=[gemini_call("c1", "a-b")]),
        {"id": "s1", "type": "user", "content": [{"text": "<state_snapshot>read</state_snapshot>"}]},
        {"id": "s2", "type": "gemini", "content": [{"text": "Got it."}]},
        {"$set": {"messages": [{"id": "s1", "type": "user", "content": []}, {"id": "s2", "type": "gemini"}]}},
        gemini("8", "", toolCalls=[gemini_call("c2", "ok", name="replace")]),
    ]
    trajectories, ledger = read(lines, "gemini")
    assert names(trajectories[0]) == [["read_file"], ["replace"]]
    assert ledger.notes["compaction"] == 1


def test_gemini_result_that_repeats_its_neighbours_or_is_missing() -> None:
    both = [gemini_call("c1", "one")["result"][0], gemini_call("c2", "two")["result"][0]]
    calls = [
        {"id": "c1", "name": "a", "args": {}, "result": both},
        {"id": "c2", "name": "b", "args": {}, "result": both},
        {
            "id": "c3",
            "name": "c",
            "args": {},
            "result": None,
            "status": "cancelled",
            "resultDisplay": "Cancelled",
        },
    ]
    trajectory = one({**FACTS, "messages": [gemini_user("1", TASK), gemini("2", toolCalls=calls)]}, "gemini")
    assert trajectory.steps[0].observation == "one\ntwo\nCancelled"


# opencode


def message(role: str, *parts: JSON, **info: JSON) -> JSON:
    return {"info": {"id": f"m{len(parts)}", "role": role, "sessionID": "o-1", **info}, "parts": list(parts)}


def part(kind: str, text: str, **more: JSON) -> JSON:
    return {"type": kind, "text": text, **more}


def tool(name: str, call_id: str, **state: JSON) -> JSON:
    return {"type": "tool", "tool": name, "callID": call_id, "state": {"status": "completed", **state}}


START = {"type": "step-start", "snapshot": "x"}
SESSION = {"id": "o-1", "directory": "/repo", "version": "1.2.0", "title": "t", "parentID": "o-0"}


def test_opencode_session() -> None:
    value = {
        "info": SESSION,
        "messages": [
            message("user", part("text", TASK), part("text", "Called the Read tool: a.py", synthetic=True),
                    part("text", "not shown", ignored=True)),
            message("assistant", START, part("reasoning", "Hm."), part("text", "Looking."),
                    tool("read", "c1", input={"filePath": "a.py"}, output="a-b"), START,
                    tool("edit", "c2", status="error", input={"filePath": "a.py"}, error="no match"),
                    modelID="claude-x", providerID="anthropic"),
            message("assistant", START, tool("bash", "c3", status="running", input={"command": "pytest"})),
            message("assistant", START, part("text", "Done.")),
        ],
    }  # fmt: skip
    assert detect(value).name == "opencode"
    trajectory = one(value, "opencode")
    assert trajectory.task == TASK
    assert trajectory.metadata["prompt"] == f"{TASK}\nCalled the Read tool: a.py"
    assert names(trajectory) == [["read"], ["edit"], ["bash"], []]
    assert (trajectory.steps[0].thought, trajectory.steps[0].reasoning) == ("Looking.", "Hm.")
    assert [step.observation for step in trajectory.steps[:3]] == [
        "a-b", "no match", "[Tool execution was interrupted]"
    ]  # fmt: skip
    assert (trajectory.model, trajectory.instance_id) == ("claude-x", "o-1")
    assert trajectory.metadata["parent"] == "o-0"


def test_opencode_calls_that_are_not_the_models() -> None:
    value = [
        message("user", part("text", "The following tool was executed by the user", synthetic=True), id="u1"),
        message("assistant", tool("bash", "u", input={"command": "ls"}, output="a.py"), parentID="u1"),
        message("user", part("text", TASK), id="u2"),
        message("assistant", START, tool("invalid", "c1", input={"tool": "edti", "error": "no such tool"})),
        message("assistant", START, tool("edit", "c2", input={}, output="ok"), parentID="u2"),
        message("assistant", part("text", "We fixed it."), summary=True),
        message("assistant", part("text", "par"), error={"name": "APIError"}),
        message("user", part("text", "Go on.")),
    ]
    trajectories, ledger = read(value, "opencode")
    assert names(trajectories[0]) == [["edit"]]
    assert trajectories[0].task == TASK
    assert ledger.steps.dropped == {"unparsable_call": 1, "api_error": 1}
    assert (ledger.notes["call_of_the_user"], ledger.notes["compaction"]) == (1, 1)


def test_opencode_reverted_messages_are_dropped_turns() -> None:
    value = {
        "info": {**SESSION, "revert": {"messageID": "u2"}},
        "messages": [
            message("user", part("text", TASK), id="u1"),
            message("assistant", START, tool("edit", "c1", input={}, output="ok")),
            message("user", part("text", "Delete it."), id="u2"),
            message("assistant", START, tool("bash", "c2", input={}, output="gone")),
        ],
    }
    trajectories, ledger = read(value, "opencode")
    assert names(trajectories[0]) == [["edit"]]
    assert trajectories[0].steps[0].observation == "ok"
    assert ledger.steps.dropped == {"rolled_back": 1}


# Inspect


def inspect_call(call_id: str, function: str = "bash", **more: JSON) -> JSON:
    return {"id": call_id, "function": function, "arguments": {"cmd": "ls"}, "type": "function", **more}


def sample(*messages: JSON, **more: JSON) -> JSON:
    return {"id": "acme__widgets-7", "epoch": 2, "input": TASK, "messages": list(messages), **more}


ASKED = {"role": "user", "content": TASK, "source": "input"}
CALLED = {"role": "assistant", "content": "Look.", "source": "generate", "tool_calls": [inspect_call("c1")]}
ANSWERED = {"role": "tool", "content": "a.py", "tool_call_id": "c1", "function": "bash"}
LOG = {"version": 2, "status": "success", "eval": {"model": "anthropic/claude-x", "task": "fix"}}


def test_inspect_sample_with_reasoning_hosted_tools_and_attachments() -> None:
    content = [
        {"type": "reasoning", "reasoning": "gAAA", "redacted": True, "summary": "Look first."},
        {"type": "reasoning", "reasoning": "gAAB", "redacted": True},
        {"type": "text", "text": "Searching."},
        {"type": "tool_use", "tool_type": "web_search", "id": "w1", "name": "web_search",
         "arguments": '{"query": "sum"}', "result": "a page"},
    ]  # fmt: skip
    value = sample(
        {"role": "system", "content": "Be brief."}, ASKED, {"role": "assistant", "content": content},
        CALLED, {**ANSWERED, "content": "attachment://h1"},
        {**CALLED, "tool_calls": [inspect_call("c2", parse_error="not JSON")]},
        {**ANSWERED, "tool_call_id": "c2", "content": "", "error": {"type": "parsing", "message": "not JSON"}},
        CALLED | {"tool_calls": [inspect_call("c3")]},
        {**ANSWERED, "tool_call_id": "c3", "content": "", "error": {"type": "timeout", "message": "timed out"}},
        attachments={"h1": "a very long text"},
    )  # fmt: skip
    (trajectory,), ledger = read({**LOG, "samples": [value]}, "inspect")
    assert names(trajectory) == [["web_search"], ["bash"], ["bash"]]
    assert [step.observation for step in trajectory.steps] == ["a page", "a very long text", "timed out"]
    assert trajectory.steps[0].actions[0].arguments == {"query": "sum"}
    assert (trajectory.steps[0].thought, trajectory.steps[0].reasoning) == ("Searching.", "Look first.")
    assert ledger.steps.dropped == {"arguments_not_an_object": 1}
    assert ledger.notes["encrypted_reasoning"] == 1
    assert (trajectory.model, trajectory.trajectory_id) == ("anthropic/claude-x", "acme__widgets-7_epoch_2")


@pytest.mark.parametrize(
    ("scores", "resolved"),
    [
        ({"tests": {"value": "C"}}, True),
        ({"tests": {"value": "I"}}, False),
        ({"tests": {"value": "P"}}, None),
        ({"tests": {"value": 1.0}}, True),
        ({"tests": {"value": 0}}, False),
        ({"tests": {"value": 0.5}}, None),
        ({"tests": {"value": False}}, False),
        ({"tests": {"value": "C"}, "judge": {"value": "I"}}, None),
        ({"tests": {"value": {"resolved": 1}}}, True),
        ({}, None),
        (None, None),
    ],
)
def test_inspect_scores_are_the_verdict(scores: JSON, resolved: bool | None) -> None:
    assert one(sample(ASKED, CALLED, ANSWERED, scores=scores), "inspect").resolved is resolved


def test_inspect_sample_numbers_count_within_their_task() -> None:
    value = {**LOG, "samples": [{**sample(ASKED, CALLED, ANSWERED), "id": 3}]}
    assert one(value, "inspect").instance_id == "fix/3"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("header", ["header.json", "_journal/start.json"])
def test_inspect_archive_gives_its_samples_and_names_nothing_else(tmp_path: Path, header: str) -> None:
    path = tmp_path / "2026-01-01_fix.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_journal/summaries/1.json", "[]")
        for value in (sample(ASKED, CALLED), sample(ASKED, CALLED, ANSWERED)):  # the second is a retry
            archive.writestr("samples/acme__widgets-7_epoch_2.json", json.dumps(value, indent=1))
        archive.writestr("summaries.json", '[{"id": 1, "epoch": 1}]')
        archive.writestr("reductions.json", "[]")
        archive.writestr(header, json.dumps(LOG))
    ledger = Ledger()
    found = [trajectory for trajectory, _ in read_trajectories_of([path], ledger)]
    ledger.check()
    assert [(t.model, t.steps[0].observation) for t in found] == [("anthropic/claude-x", "a.py")]
    assert ledger.total().skipped == {}


def test_inspect_log_without_samples_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps({**LOG, "status": "error", "samples": None}, indent=1))
    ledger = Ledger()
    assert list(read_trajectories_of([path], ledger)) == []
    assert ledger.total().skipped == {"no_trajectory": 1}


# Anything anywhere

WHOLE: dict[str, JSON] = {
    "codex": ROLLOUT,
    "pi": [HEADER, pi_user("a", None, TASK), pi_call("b", "a", "c1"), pi_result("c", "b", "c1", "x")],
    "gemini": [{**FACTS, "messages": [gemini_user("1", TASK), gemini("2", toolCalls=[gemini_call("c", "x")])]}],
    "opencode": {"info": SESSION, "messages": [message("user", part("text", TASK)),
                 message("assistant", START, tool("edit", "c1", input={}, output="ok"))]},
    "inspect": {**LOG, "samples": [sample(ASKED, CALLED, ANSWERED, scores={"s": {"value": "C"}})]},
}  # fmt: skip


def spoilt(value: JSON, junk: JSON) -> list[JSON]:
    """Return copies with one part replaced by junk, each another part."""
    found = [junk]
    if isinstance(value, dict):
        found += [{**value, key: bad} for key, inner in value.items() for bad in spoilt(inner, junk)]
    elif isinstance(value, list):
        found += [
            [*value[:at], bad, *value[at + 1 :]]
            for at, inner in enumerate(value)
            for bad in spoilt(inner, junk)
        ]
    return found


@pytest.mark.parametrize("name", sorted(WHOLE))
@pytest.mark.parametrize("junk", [None, 7, "x", [], [[]], {}, {"a": 1}, True], ids=str)
def test_one_odd_part_never_loses_the_trajectory(name: str, junk: JSON) -> None:
    for value in spoilt(WHOLE[name], junk):
        if isinstance(value, type(WHOLE[name])):
            trajectories, ledger = read(value, name)
            assert ledger.trajectories.read == len(trajectories) + ledger.trajectories.dropped.total()
