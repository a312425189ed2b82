"""Claude Code's sessions and stream-json logs, and the logs that look like them: iFlow's and Qwen Code's."""

import json
import random
import time
from pathlib import Path

import pytest

from harness.convert import main as convert
from tests.trajectories.reading import one, read
from trajectories.readers.detect import detect
from trajectories.sources.tasks import read_tasks
from trajectories.types import JSON, Trajectory

Line = dict[str, JSON]


def user(uuid: str, parent: str | None, content: JSON, **more: JSON) -> Line:
    message = {"role": "user", "content": content}
    return {"type": "user", "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message} | more


def reply(uuid: str, parent: str | None, name: str, *blocks: JSON, **more: JSON) -> Line:
    message = {"id": name, "role": "assistant", "model": "claude", "content": list(blocks)}
    return {
        "type": "assistant",
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "s",
        "message": message,
    } | more


def attachment(uuid: str, parent: str, kind: str, **fields: JSON) -> Line:
    held = {"type": kind} | fields
    return {"type": "attachment", "uuid": uuid, "parentUuid": parent, "sessionId": "s", "attachment": held}


def text(words: str) -> Line:
    return {"type": "text", "text": words}


def use(call_id: str, name: str = "Bash", **given: JSON) -> Line:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given or {"command": call_id}}


def result(call_id: str, found: JSON = None) -> list[Line]:
    return [{"type": "tool_result", "tool_use_id": call_id, "content": found or f"saw {call_id}"}]


def calls(trajectory: Trajectory) -> list[list[str]]:
    return [[str(a.arguments.get("command", a.name)) for a in step.actions] for step in trajectory.steps]


def observations(trajectory: Trajectory) -> list[str]:
    return [step.observation for step in trajectory.steps]


# --- Branches


def test_results_of_parallel_calls_that_end_are_no_branches() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", use("one")),
        reply("a2", "a1", "m1", use("two")),
        reply("a3", "a2", "m1", use("three")),
        user("r1", "a1", result("one")),
        user("r2", "a2", result("two")),
        user("r3", "a3", result("three")),
        reply("b1", "r1", "m2", text("Done.")),  # goes on from the first result
    ]
    trajectory = one(lines, "claude-code")
    assert calls(trajectory) == [["one", "two", "three"], []]
    assert observations(trajectory) == ["saw one\nsaw two\nsaw three", ""]


def test_what_the_program_wrote_beside_a_result_that_ends_is_kept() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", use("one")),
        reply("a2", "a1", "m1", use("two")),
        user("r1", "a1", result("one")),
        attachment("h", "r1", "hook_additional_context", content=["Lint: line 1"]),
        user("skill", "h", [text("Use tabs.")], isMeta=True),
        user("r2", "a2", result("two")),
        reply("b1", "r2", "m2", use("three")),
        user("edited", "r2", "No, stop"),  # a prompt that got no reply
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert observations(trajectory) == ["saw one\nsaw two\nLint: line 1\nUse tabs.", ""]
    assert ledger.notes == {"message_on_no_branch": 1}


def test_a_reply_whose_lines_come_between_its_results_is_one_turn() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", use("one")),
        user("r1", "a1", result("one")),
        reply("a2", "r1", "m1", use("two")),
        user("r2", "a2", result("two")),
    ]
    trajectory = one(lines, "claude-code")
    assert calls(trajectory) == [["one", "two"]]
    assert observations(trajectory) == ["saw one\nsaw two"]


def test_forks_are_branches_with_the_turns_before_them() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("one")),
        user("r", "a", result("one")),
        reply("b", "r", "m2", use("two")),
        reply("c", "r", "m3", use("three")),
        user("again", None, "Another task"),
        reply("d", "again", "m4", use("four")),
    ]
    found, _ = read(lines, "claude-code")
    assert [calls(trajectory) for trajectory in found] == [
        [["one"], ["two"]],
        [["one"], ["three"]],
        [["four"]],
    ]
    assert [trajectory.trajectory_id for trajectory in found] == ["s#1", "s#2", "s#3"]
    assert found[2].task == "Another task"


@pytest.mark.parametrize(
    ("field", "gone"), [("parentUuid", "ghost"), ("logicalParentUuid", "ghost"), ("parentUuid", "b")]
)
def test_a_line_whose_parent_is_in_no_line_follows_the_line_before(field: str, gone: str) -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("one")),
        user("r", "a", result("one")),
        reply("b", None, "m2", use("two")) | {"parentUuid": None, field: gone},
        user("r2", "b", result("two")),
    ]
    found, ledger = read(lines, "claude-code")
    if gone == "b":  # its own parent: a cycle is cut
        assert ledger.notes["cycle_of_parents"] == 1
        return
    assert [calls(trajectory) for trajectory in found] == [[["one"], ["two"]]]
    assert found[0].trajectory_id == "s"
    assert ledger.notes == {"parent_in_no_file": 1}


def test_a_lost_parent_of_a_sub_agent_is_not_looked_for_in_the_main_agent() -> None:
    side = {"isSidechain": True, "agentId": "x1"}
    lines = [
        user("u", None, "Fix it", isSidechain=False),
        reply("a", "u", "m1", use("c1", "Task", prompt="Find x"), isSidechain=False),
        user("su", None, "Find x", **side),
        reply("sa", "su", "m2", use("one"), **side),
        user("r", "a", result("c1"), isSidechain=False),
        reply("sb", "ghost", "m3", use("two"), **side),
        reply("b", "ghost", "m4", use("three"), isSidechain=False),
    ]
    found, ledger = read(lines, "claude-code")
    assert [calls(trajectory) for trajectory in found] == [[["one"], ["two"]], [["Task"], ["three"]]]
    assert [trajectory.task for trajectory in found] == ["Find x", "Fix it"]
    assert found[0].trajectory_id == "s/x1#1"
    assert ledger.notes == {"parent_in_no_file": 2, "turn_without_result": 1}


def test_a_sub_agent_below_a_call_has_its_prompt_and_ends_no_main_branch() -> None:
    lines = [
        user("u", None, "Fix it", isSidechain=False),
        reply("a", "u", "m1", use("c1", "Task", prompt="Find x"), isSidechain=False),
        reply("sa", "a", "m2", use("one"), isSidechain=True),
        user("sr", "sa", result("one"), isSidechain=True),
        user("r", "sr", result("c1"), isSidechain=False),
        reply("b", "r", "m3", text("Done."), isSidechain=False),
    ]
    found, ledger = read(lines, "claude-code")
    assert [calls(trajectory) for trajectory in found] == [[["one"]], [["Task"], []]]
    assert [trajectory.task for trajectory in found] == ["Find x", "Fix it"]
    assert ledger.notes == {"parent_of_another_agent": 2, "final_message": 1}


def test_the_reply_that_starts_a_fork_is_its_parents() -> None:
    side = {"isSidechain": True, "agentId": "f1"}
    lines: list[JSON] = [
        {"type": "fork-context-ref", "agentId": "f1", "parentSessionId": "s", "parentLastUuid": "p"},
        reply("a", None, "m1", use("c0", "Task", prompt="Sum up"), **side),
        user("u", "a", [*result("c0", "started"), text("Sum up the tests")], **side),
        reply("b", "u", "m2", use("one"), **side),
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert (trajectory.task, trajectory.trajectory_id) == ("Sum up the tests", "s/f1")
    assert calls(trajectory) == [["one"]]
    assert ledger.notes == {"reply_of_the_parent": 1}


def test_a_made_session_is_read_in_linear_time() -> None:
    lines = [user("u", None, "Fix it")]
    parent = "u"
    for turn in range(4000):
        names = [f"{turn}-{number}" for number in range(3)]
        lines += [reply(f"a{name}", parent, f"m{turn}", use(name)) for name in names]
        lines += [user(f"r{name}", f"a{name}", result(name)) for name in names]
        parent = f"r{names[-1]}"
    started = time.process_time()
    trajectory = one(lines, "claude-code")
    assert time.process_time() - started < 10  # a walk from every end would take minutes
    assert len(trajectory.steps) == 4000
    assert trajectory.steps[-1].observation == "saw 3999-0\nsaw 3999-1\nsaw 3999-2"


# --- Replies


def test_a_call_that_is_written_on_two_lines_is_one_call() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", text("Look."), use("one")),
        reply("a2", "a1", "m1", use("one")),  # the same reply again
        reply("a3", "a2", "m1b", use("one")),  # again, as another reply
        user("r1", "a3", result("one")),
        user("r2", "r1", result("one")),
        reply("b", "r2", "m2", text("Done.")),
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert calls(trajectory) == [["one"], []]
    assert observations(trajectory) == ["saw one", ""]
    assert ledger.notes == {"call_written_twice": 2, "result_written_twice": 1, "final_message": 1}


def test_an_id_that_a_server_gives_anew_in_each_reply_is_another_call() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("call_0", command="ls")),
        user("r1", "a", result("call_0", "a.py")),
        reply("b", "r1", "m2", use("call_0", command="cat a.py")),
        user("r2", "b", result("call_0", "x = 1")),
    ]
    trajectory = one(lines, "claude-code")
    assert calls(trajectory) == [["ls"], ["cat a.py"]]
    assert observations(trajectory) == ["a.py", "x = 1"]


def test_snapshots_of_a_reply_that_grows_are_one_reply() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", text("I look")),
        reply("a2", "a1", "m1", text("I look first.")),
        reply("a3", "a2", "m1", text("I look first."), use("one", command="")),
        reply("a4", "a3", "m1", use("one", command="ls")),
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert (trajectory.steps[0].thought, calls(trajectory)) == ("I look first.", [["ls"]])
    assert ledger.notes == {"block_written_twice": 2, "call_written_twice": 1}


def test_thinking_is_the_reasoning_and_hidden_thinking_is_counted() -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", {"type": "thinking", "thinking": "The sign is wrong.", "signature": "x"}),
        reply("a2", "a1", "m1", text("Look."), use("one")),
        reply("b1", "a2", "m2", {"type": "thinking", "thinking": "", "signature": "x"}),
        reply("b2", "b1", "m2", {"type": "redacted_thinking", "data": "x"}, use("two")),
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    first, second = trajectory.steps
    assert (first.thought, first.reasoning) == ("Look.", "The sign is wrong.")
    assert (second.thought, second.reasoning) == ("", "")
    assert ledger.notes == {"encrypted_reasoning": 2, "turn_without_result": 1, "reasoning_kept": 1}


def server(name: str, call_id: str) -> Line:
    return {"type": "server_tool_use", "id": call_id, "name": name, "input": {"query": "x"}}


@pytest.mark.parametrize(
    ("kind", "content", "seen"),
    [
        ("advisor_tool_result", {"type": "advisor_result", "text": "Use a lock."}, "Use a lock."),
        (
            "web_search_tool_result",
            [{"type": "web_search_result", "title": "Locks", "url": "https://acme.example/locks"}],
            "https://acme.example/locks",
        ),
        (
            "bash_code_execution_tool_result",
            {"type": "bash_code_execution_result", "stdout": "42\n", "stderr": "", "return_code": 0},
            "42",
        ),
    ],
)
def test_results_of_server_tools_stand_in_the_replys_own_lines(kind: str, content: JSON, seen: str) -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a1", "u", "m1", server("tool", "srv1")),
        reply("a2", "a1", "m1", {"type": kind, "tool_use_id": "srv1", "content": content}),
        reply("a3", "a2", "m1", use("one")),
        user("r", "a3", result("one")),
    ]
    trajectory = one(lines, "claude-code")
    assert calls(trajectory) == [["tool", "one"]]
    assert seen in trajectory.steps[0].observation
    assert trajectory.steps[0].observation.endswith("saw one")


# --- Lines and attachments


@pytest.mark.parametrize(
    "first",
    [
        {"type": "file-history-delta", "messageId": "m", "trackingPath": "/srv/a.py"},
        {"type": "summary", "summary": "x", "leafUuid": "z"},
        {"type": "queue-operation", "operation": "enqueue", "sessionId": "s"},
        {"type": "something-new", "value": 1},
    ],
)
def test_a_first_line_of_any_kind_hides_no_session(first: Line, tmp_path: Path) -> None:
    lines = [first, user("u", None, "Fix it"), reply("a", "u", "m1", use("one"))]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert convert([str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "o.jsonl"), "--no-card"]) == 0
    (row,) = map(json.loads, (tmp_path / "o.jsonl").open())
    assert (row["source"], row["task"], len(row["steps"])) == ("claude-code", "Fix it", 1)
    notes = json.loads((tmp_path / "ledger.json").read_text())["total"]["notes"]
    assert notes.get("line_of_unknown_kind", 0) == (first["type"] == "something-new")


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (attachment("t", "r", "edited_text_file", filename="a.py", snippet="1\tx = 3"), "a.py was modified:\n1\tx = 3"),
        (attachment("t", "r", "queued_command", prompt="Be quick."), "Be quick."),
        (attachment("t", "r", "queued_command", prompt=[text("Be quick.")]), "Be quick."),
        (attachment("t", "r", "hook_additional_context", content=["One", "Two"]), "One\nTwo"),
        (attachment("t", "r", "hook_success", hookEvent="UserPromptSubmit", content="Noted"), "Noted"),
        (
            attachment("t", "r", "hook_blocking_error", hookName="PostToolUse:Edit",
                       blockingError={"blockingError": "ruff failed", "command": "ruff"}),
            "PostToolUse:Edit blocking error: ruff failed",
        ),
        (
            attachment("t", "r", "async_hook_response", response={"hookSpecificOutput": {"additionalContext": "Hm"}}),
            "Hm",
        ),
        (attachment("t", "r", "nested_memory", path="CLAUDE.md", content={"content": "Tabs."}), "CLAUDE.md:\nTabs."),
        (attachment("t", "r", "directory", path="src", content="a.py"), "src:\na.py"),
        (
            attachment("t", "r", "diagnostics", files=[{"uri": "a.py", "diagnostics": [{"message": "no x"}]}]),
            "New diagnostics:\na.py: no x",
        ),
        (attachment("t", "r", "new_kind") | {"rendered": [{"content": "As shown"}]}, "As shown"),
        (attachment("t", "r", "new_kind") | {"rendered": "As shown"}, "As shown"),
    ],
)  # fmt: skip
def test_an_attachment_that_the_model_saw_joins_the_observation(line: Line, seen: str) -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("one")),
        user("r", "a", result("one")),
        line,
        reply("b", "t", "m2", text("Done.")),
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert observations(trajectory) == [f"saw one\n{seen}", ""]
    assert ledger.notes == {"final_message": 1}


def test_a_file_named_in_the_prompt_belongs_to_the_task() -> None:
    file = {"type": "text", "file": {"filePath": "/srv/a.py", "content": "x = 1\n", "numLines": 1}}
    lines = [
        user("u", None, "Fix @a.py"),
        attachment("t", "u", "file", filename="/srv/a.py", displayPath="a.py", content=file),
        reply("a", "t", "m1", use("one")),
    ]
    assert one(lines, "claude-code").task == "Fix @a.py\n\n/srv/a.py:\nx = 1"


@pytest.mark.parametrize(
    "line",
    [
        attachment("t", "r", "hook_success", hookEvent="PostToolUse", content="fine", stdout="fine"),
        attachment("t", "r", "hook_non_blocking_error", stderr="broken"),
        attachment("t", "r", "skill_listing", content="- tidy") | {"rendered": "- tidy"},
        attachment("t", "r", "new_kind", content="?"),
        {"type": "attachment", "uuid": "t", "parentUuid": "r", "sessionId": "s", "attachment": None},
    ],
)
def test_other_attachments_are_counted(line: Line) -> None:
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("one")),
        user("r", "a", result("one")),
        line,
    ]
    (trajectory,), ledger = read(lines, "claude-code")
    assert observations(trajectory) == ["saw one"]
    assert ledger.notes == {"attachment_not_kept": 1}


def test_lines_without_an_id_stay_in_their_place() -> None:
    queued: Line = {"type": "attachment", "attachment": {"type": "queued_command", "prompt": "Be quick."}}
    lines = [
        user("u", None, "Fix it"),
        reply("a", "u", "m1", use("one")),
        user("r", "a", result("one")),
        queued,
        reply("b", "r", "m2", use("two")),
    ]
    assert observations(one(lines, "claude-code")) == ["saw one\nBe quick.", ""]
    bare = [
        {key: value for key, value in line.items() if key not in ("uuid", "parentUuid")} for line in lines
    ]
    (trajectory,), ledger = read(bare, "claude-code")
    assert observations(trajectory) == ["saw one\nBe quick.", ""]
    assert ledger.notes["line_without_uuid"] == 4


# --- Any value anywhere

VALUES: list[JSON] = [
    None,
    0,
    1.5,
    True,
    "",
    "x",
    [],
    [None],
    ["x"],
    {},
    {"type": "text"},
    {"text": 3},
    [{"id": []}],
]


def spoiled(value: JSON, chance: random.Random) -> JSON:
    """Replace parts of a value by others at random."""
    if chance.random() < 0.03:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        return {key: spoiled(inner, chance) for key, inner in value.items() if chance.random() > 0.02}
    return [spoiled(inner, chance) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["claude-code", "claude-stream", "iflow", "qwen-code"])
def test_no_field_that_is_wrong_loses_a_session(name: str) -> None:
    whole: dict[str, list[JSON]] = {
        "claude-code": [
            user("u", None, "Fix @a.py"),
            attachment("t", "u", "file", filename="a.py", content={"file": {"content": "x = 1"}}),
            reply("a", "t", "m1", {"type": "thinking", "thinking": "Hm", "signature": "x"}),
            reply("b", "a", "m1", text("Look."), use("one"), server("advisor", "srv1")),
            reply(
                "c",
                "b",
                "m1",
                {"type": "advisor_tool_result", "tool_use_id": "srv1", "content": {"text": "No"}},
            ),
            user("r", "b", result("one")),
            attachment(
                "h", "r", "async_hook_response", response={"hookSpecificOutput": {"additionalContext": "a"}}
            ),
            attachment(
                "d", "h", "diagnostics", files=[{"uri": "a.py", "diagnostics": [{"message": "no x"}]}]
            ),
            user("s1", None, "Find x", isSidechain=True, agentId="x"),
        ],
        "claude-stream": STREAM,
        "iflow": IFLOW,
        "qwen-code": QWEN,
    }
    chance = random.Random(0)
    for _ in range(1500):
        lines = spoiled(whole[name], chance)
        _, ledger = read(lines if isinstance(lines, list) else [lines], name)  # raises nothing
        assert "malformed" not in ledger.trajectories.dropped


# --- stream-json


def said(kind: str, content: JSON, parent: str | None = None, **more: JSON) -> Line:
    message: Line = {"role": kind, "content": content} | more
    return {"type": kind, "session_id": "s1", "parent_tool_use_id": parent, "message": message}


STREAM: list[JSON] = [
    {"type": "system", "subtype": "init", "session_id": "s1", "cwd": "/srv/w", "model": "claude",
     "claude_code_version": "2.1.139"},
    said("assistant", [text("Look.")], id="m1", model="claude"),
    {"type": "stream_event", "session_id": "s1", "event": {"type": "content_block_delta"}},
    said("assistant", [use("c1", "Task", prompt="Find x")], id="m1", model="claude"),
    said("user", [text("Find x")], "c1"),
    said("assistant", [use("c2", "Grep", command="x")], "c1", id="m2", model="small"),
    said("user", result("c2"), "c1"),
    said("user", result("c1")),
    said("assistant", [text("Done.")], id="m3", model="claude"),
    {"type": "result", "session_id": "s1", "subtype": "success", "is_error": False, "total_cost_usd": 0.25},
]  # fmt: skip


def test_a_stream_has_its_sub_agents_apart() -> None:
    found, ledger = read(STREAM, origin="logs/acme__widgets-7.jsonl")
    main, side = found
    assert (calls(main), observations(main)) == ([["Task"], []], ["saw c1", ""])
    assert (calls(side), observations(side)) == ([["x"]], ["saw c2"])
    assert [t.trajectory_id for t in found] == ["s1", "s1/c1"]
    assert [(t.instance_id, t.repository, t.model) for t in found] == [
        ("acme__widgets-7", "acme/widgets", "claude"),
        ("acme__widgets-7", "acme/widgets", "small"),
    ]
    assert (main.task, side.task) == ("acme__widgets-7", "Find x")
    assert main.metadata == {
        "version": "2.1.139", "is_error": False, "subtype": "success", "total_cost_usd": 0.25,
    }  # fmt: skip
    assert ledger.notes == {"task_is_the_name": 1, "partial_message": 1, "final_message": 1}


def test_a_stream_is_detected_by_its_fields() -> None:
    notice = {"type": "rate_limit_event", "session_id": "s1"}
    whole: list[JSON] = [notice, *STREAM]
    assert detect(STREAM[0]).name == detect(STREAM).name == detect(whole).name == "claude-stream"
    assert detect(said("assistant", []) | {"session_id": None}).name == "claude-stream"
    assert detect(user("u", None, "x")).name == "claude-code"


def test_a_prompt_in_the_stream_is_the_task_and_the_folder_names_the_instance() -> None:
    lines = [STREAM[0], said("user", "Fix it"), *STREAM[1:]]
    main, _ = read(lines, origin="runs/acme__widgets-7/output.jsonl")[0]
    assert (main.task, main.instance_id) == ("Fix it", "acme__widgets-7")
    assert "prompt" not in main.metadata


def test_a_sub_agent_without_a_prompt_line_has_the_calls() -> None:
    lines = [line for line in STREAM if line != said("user", [text("Find x")], "c1")]
    assert read(lines, "claude-stream")[0][1].task == "Find x"


def test_several_sessions_of_a_log_are_apart() -> None:
    again = json.loads(json.dumps(STREAM).replace('"s1"', '"s2"'))
    found, _ = read([*STREAM, *again], "claude-stream")
    assert [t.trajectory_id for t in found] == ["s1", "s1/c1", "s2", "s2/c1"]


def test_errors_of_the_api_are_no_turns() -> None:
    notice = said("assistant", [text("API Error: 529")], id="e", model="<synthetic>")
    (main, _), ledger = read([*STREAM, notice], "claude-stream")
    assert len(main.steps) == 2
    assert ledger.notes["reply_not_of_the_model"] == 1


TASKS: dict[str, JSON] = {
    "rows.jsonl": [{"instance_id": "acme__widgets-7", "problem_statement": "It crashes."}],
    "rows.json": [[{"instance_id": "acme__widgets-7", "problem_statement": "It crashes."}]],
    "by_id.json": [{"acme__widgets-7": {"problem_statement": "It crashes."}}],
    "texts.json": [{"acme__widgets-7": "It crashes."}],
}


@pytest.mark.parametrize("name", [*TASKS, "folder"])
def test_the_task_comes_from_a_file_or_a_folder(name: str, tmp_path: Path) -> None:
    tasks = tmp_path / "tasks" / name
    tasks.parent.mkdir()
    if name == "folder":
        tasks.mkdir()
        (tasks / "acme__widgets-7.txt").write_text("It crashes.")
    else:
        tasks.write_text("".join(json.dumps(row) + "\n" for row in TASKS[name]))
    log = tmp_path / "logs" / "acme__widgets-7_0" / "output.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(line) + "\n" for line in STREAM))
    out = tmp_path / "o.jsonl"
    words = [str(log.parent.parent), "--out", str(out), "--no-card", "--task-from", str(tasks)]
    assert convert(words) == 0
    main, side = map(json.loads, out.open())
    assert (main["task"], side["task"]) == ("It crashes.", "Find x")
    assert main["instance_id"] == "acme__widgets-7"
    assert "task_is_the_name" not in json.loads((tmp_path / "ledger.json").read_text())["total"]["notes"]


def test_without_tasks_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "acme__widgets-7.json"
    log.write_text(json.dumps(STREAM))
    assert convert([str(log), "--out", str(tmp_path / "o.jsonl"), "--no-card"]) == 0
    assert (
        "1 trajectories have their name for a task; give their tasks with --task-from"
        in capsys.readouterr().out
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no tasks"):
        read_tasks(tmp_path / "empty")


# --- iFlow


def iflow(uuid: str, kind: str, content: JSON, name: str = "") -> Line:
    message: Line = {"role": kind, "content": content, "model": "glm", "id": name}
    return {
        "type": kind,
        "uuid": uuid,
        "parentUuid": "u",
        "sessionId": "session-7",
        "cwd": "/srv/w",
        "message": message,
    }


def iflow_result(call_id: str, output: str, *, wrapped: bool = True) -> list[Line]:
    answer: Line = {"functionResponse": {"id": call_id, "response": {"output": output}}}
    content = {"callId": call_id, "responseParts": answer} if wrapped else answer
    return [{"type": "tool_result", "tool_use_id": call_id, "content": content}]


IFLOW: list[JSON] = [
    iflow("u", "user", "Fix it"),
    iflow("a1", "assistant", [text("Look."), use("c1")], "response-1"),
    iflow("a2", "assistant", [use("c1"), use("c2")], "response-2"),
    iflow("a3", "assistant", [use("c2")], "response-3"),
    iflow("r1", "user", iflow_result("c1", "one")),
    iflow("r2", "user", iflow_result("c2", "two", wrapped=False)),
    iflow("a4", "assistant", [use("c2"), text("Now this."), use("c3")], "response-4"),
    iflow("r3", "user", [{"type": "tool_result", "tool_use_id": "c3", "content": "three"}]),
    iflow("a5", "assistant", [text("Done.")], "response-5"),
]


def test_iflow_writes_windows_over_the_calls_of_a_reply() -> None:
    (trajectory,), ledger = read(IFLOW, "iflow")
    assert detect(IFLOW[0]).name == trajectory.source == "iflow"
    assert calls(trajectory) == [["c1", "c2"], ["c3"], []]
    assert [step.thought for step in trajectory.steps] == ["Look.", "Now this.", "Done."]
    assert observations(trajectory) == ["one\ntwo", "three", ""]
    assert (trajectory.trajectory_id, trajectory.model, trajectory.repository) == (
        "session-7",
        "glm",
        "/srv/w",
    )
    assert ledger.notes == {"call_written_twice": 3, "final_message": 1}


def test_iflow_sub_agents_and_results_of_other_forms() -> None:
    side = {"isSidechain": True, "agentId": "x"}
    parts = {"responseParts": [{"functionResponse": {"response": {"error": "no such file"}}}]}
    lines = [
        *IFLOW[:2],
        iflow("su", "user", "Find x") | side,
        iflow("sa", "assistant", [use("s1")]) | side,
        iflow("sr", "user", [{"type": "tool_result", "tool_use_id": "s1", "content": parts}]) | side,
        iflow(
            "r1",
            "user",
            [{"type": "tool_result", "tool_use_id": "c1", "content": {"resultDisplay": "shown"}}],
        ),
    ]
    main, other = read(lines, "iflow")[0]
    assert (main.task, observations(main)) == ("Fix it", ["shown"])
    assert (other.task, observations(other), other.trajectory_id) == (
        "Find x",
        ["no such file"],
        "session-7/x",
    )


# --- Qwen Code


def qwen(uuid: str, parent: str | None, kind: str, *parts: JSON, **more: JSON) -> Line:
    role = "model" if kind == "assistant" else "user"
    line = {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "q",
        "cwd": "/srv/w",
        "version": "0.9",
    }
    return line | {"message": {"role": role, "parts": list(parts)}} | more


def ask(call_id: str) -> Line:
    return {"functionCall": {"id": call_id, "name": "run_shell_command", "args": {"command": call_id}}}


def answer(call_id: str, **response: JSON) -> Line:
    return {"functionResponse": {"id": call_id, "name": "run_shell_command", "response": response}}


QWEN: list[JSON] = [
    {"type": "system", "subtype": "session_source", "uuid": "s0", "parentUuid": None, "sessionId": "q",
     "systemPayload": {"sourceType": "cli"}},
    qwen("u", "s0", "user", {"text": "Fix it"}),
    qwen("a", "u", "assistant", {"text": "Plan it", "thought": True}, {"text": "Look."}, ask("c1"), ask("c2"),
         model="qwen3"),
    qwen("t1", "a", "tool_result", answer("c1", output="a.py")),
    qwen("t2", "t1", "tool_result", answer("c2", error="no such file")),
    qwen("b", "t2", "assistant", {"text": "Done."}, model="qwen3"),
]  # fmt: skip


def test_qwen_code_is_no_claude_code() -> None:
    assert detect(QWEN[0]).name == detect(QWEN[1]).name == "qwen-code"
    trajectory = one(QWEN, "qwen-code")
    first = trajectory.steps[0]
    assert (first.thought, first.reasoning, first.observation) == ("Look.", "Plan it", "a.py\nno such file")
    assert calls(trajectory) == [["c1", "c2"], []]
    assert (trajectory.task, trajectory.model, trajectory.trajectory_id) == ("Fix it", "qwen3", "q")
    assert trajectory.metadata == {"version": "0.9", "repo": "/srv/w"}


def test_a_rewound_qwen_chat_has_two_branches() -> None:
    lines = [
        *QWEN,
        {"type": "system", "subtype": "rewind", "uuid": "w", "parentUuid": "t2", "sessionId": "q"},
        qwen("u2", "w", "user", {"text": "The other way"}),
        qwen("c", "u2", "assistant", ask("c3"), model="qwen3"),
    ]
    found, _ = read(lines, "qwen-code")
    assert [calls(trajectory) for trajectory in found] == [[["c1", "c2"], []], [["c1", "c2"], ["c3"]]]
    assert found[1].steps[0].observation == "a.py\nno such file\nThe other way"


def test_a_forked_qwen_agent_has_its_prompt_in_the_history() -> None:
    history = [
        {"role": "user", "parts": [{"text": "Before"}]},
        {"role": "user", "parts": [{"text": "Find x"}]},
    ]
    lines: list[JSON] = [
        {"type": "system", "subtype": "agent_bootstrap", "uuid": "s0", "parentUuid": None, "sessionId": "q",
         "agentId": "x", "isSidechain": True, "systemPayload": {"kind": "fork", "history": history}},
        qwen("a", "s0", "assistant", ask("c1"), agentId="x", isSidechain=True),
    ]  # fmt: skip
    trajectory = one(lines, "qwen-code")
    assert (trajectory.task, trajectory.trajectory_id) == ("Find x", "q/x")
