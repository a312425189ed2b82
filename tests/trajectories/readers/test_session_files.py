"""Files of logs as people keep them: lists, several sessions, odd lines, streams, broken trees."""

import json
from pathlib import Path

import pytest

from harness import cli
from harness.convert import main as convert
from tests.trajectories.reading import one, read
from tests.trajectories.seeds import SEEDS
from trajectories import Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.readers.pipeline import LOGS, read_trajectories_of
from trajectories.types import JSON

Line = dict[str, JSON]
# What tells two runs of the same seed apart, beside the names of the session.
RENAMED = {
    '"s"': '"z"', '"s1"': '"z1"', '"s-1"': '"z-1"', "session-1": "session-2", "11111111": "99999999", "ses_1": "ses_2",
    '"m1"': '"m9"', '"c1"': '"c9"', '"u1"': '"u9"', '"Fix it."': '"Other task."',
}  # fmt: skip
CODEX_STREAM: list[JSON] = [
    {"type": "thread.started", "thread_id": "s1"},
    {"type": "item.completed", "item": {"id": "item_0", "type": "command_execution", "command": "ls",
                                        "aggregated_output": "a.py", "exit_code": 0}},
]  # fmt: skip
EARLY_CODEX: list[JSON] = [
    {"id": "s1", "timestamp": "t"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
    {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
    {
        "type": "function_call_output",
        "call_id": "c1",
        "output": '{"output":"a.py","metadata":{"exit_code":0}}',
    },
]
FILES: dict[str, list[JSON]] = {
    **{name: SEEDS[name] for name in sorted(LOGS)},
    "codex exec": CODEX_STREAM,
    "early codex": EARLY_CODEX,
}


def other(lines: list[JSON]) -> list[JSON]:
    """Return the log of another session."""
    text = json.dumps(lines)
    for before, after in RENAMED.items():
        text = text.replace(before, after)
    renamed: list[JSON] = json.loads(text)
    return [_with_other_ids(line) for line in renamed]


def _with_other_ids(line: JSON) -> JSON:
    keys = (
        "uuid",
        "parentUuid",
        "parentId",
        *(("id",) if isinstance(line, dict) and "parentId" in line else ()),
    )
    return {k: f"z{v}" if k in keys and v else v for k, v in line.items()} if isinstance(line, dict) else line


def of_file(path: Path, data: str) -> list[Trajectory]:
    path.write_text(data)
    return [trajectory for trajectory, _ in read_trajectories_of([path], Ledger(), named=[path])]


def lines_of(lines: list[JSON]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def seen(trajectory: Trajectory) -> list[tuple[list[str], str]]:
    return [([action.name for action in step.actions], step.observation) for step in trajectory.steps]


# --- What a file holds


@pytest.mark.parametrize("name", FILES)
def test_a_log_is_read_from_a_file_of_any_form(name: str, tmp_path: Path) -> None:
    log = FILES[name]
    (expected,) = of_file(tmp_path / "run.jsonl", lines_of(log))
    assert seen(expected)[0][1].startswith("a.py")
    junk: list[JSON] = [{"hello": 1}, "text", None]
    for number, data in enumerate((
        json.dumps(log),
        json.dumps([*junk, *log]),
        json.dumps([*junk, *log], indent=1),
        json.dumps([log]),
        lines_of([*junk, *log]),
        "npm warn deprecated\n" + lines_of(log) + ("Done in 3 s\n" if len(log) > 1 else ""),
        "\n".join(json.dumps(line, indent=1) for line in log),
    )):  # fmt: skip
        (read_again,) = of_file(tmp_path / f"{number}.log", data)
        assert (read_again.source, seen(read_again)) == (expected.source, seen(expected)), data


@pytest.mark.parametrize("name", FILES)
def test_two_sessions_of_a_file_are_two_trajectories(name: str, tmp_path: Path) -> None:
    log = FILES[name]
    (expected,) = of_file(tmp_path / "run.jsonl", lines_of(log))
    told = name not in ("codex exec", "opencode-stream")  # the others say what was asked
    for form in (
        lines_of([*log, *other(log)]),
        json.dumps([*log, *other(log)]),
        json.dumps([log, other(log)]),
        lines_of([log, other(log)]),
    ):
        first, second = of_file(tmp_path / "run.jsonl", form)
        assert seen(first) == seen(second) == seen(expected), form
        assert first.trajectory_id != second.trajectory_id
        assert not told or (first.task, second.task) == ("Fix it.", "Other task.")


def test_a_line_of_text_before_the_only_document(tmp_path: Path) -> None:
    session = json.dumps(SEEDS["opencode"][0], indent=1)
    (found,) = of_file(tmp_path / "session.json", f"Exporting session: ses_1\n{session}\n")
    assert (found.task, seen(found)) == ("Fix it.", [(["bash"], "a.py")])


def test_a_log_under_another_ending_in_a_folder_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(lines_of(SEEDS["codex"]))
    ledger = Ledger()
    assert list(read_trajectories_of([tmp_path / "run.log"], ledger)) == []
    told = json.dumps(ledger.to_json())
    assert "run.log: a file that is named itself is read whatever its ending is" in told


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"instance_id": "acme__w-1", "patch": "diff", "raw_output": lines_of(SEEDS["claude-stream"])},
         "whose `raw_output` is a log of claude-stream: write that text to a file of its own"),
        ({"trace": f"\n{lines_of(SEEDS['codex'])}"}, "whose `trace` is a log of codex"),
        ({"type": "init", "timestamp": "t", "session_id": "s", "model": "m"}, "give its session files"),
        ({"id": "prt_1", "messageID": "m", "sessionID": "s", "type": "text", "text": "x"}, "`opencode export`"),
    ],
)  # fmt: skip
def test_what_is_no_log_itself_is_said_so(value: JSON, words: str) -> None:
    with pytest.raises(UnknownFormat, match=words):
        detect(value)


# --- Codex


def meta(session: str, **more: JSON) -> Line:
    return {"timestamp": "t", "type": "session_meta", "payload": {"id": session, "cwd": "/p", **more}}


def asked(text: str) -> Line:
    content = [{"type": "input_text", "text": text}]
    return {
        "timestamp": "t",
        "type": "response_item",
        "payload": {"type": "message", "role": "user", "content": content},
    }


def called(call_id: str) -> list[Line]:
    call = {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": call_id}
    answer = {"type": "function_call_output", "call_id": call_id, "output": f"saw {call_id}"}
    return [{"timestamp": "t", "type": "response_item", "payload": payload} for payload in (call, answer)]


@pytest.mark.parametrize("fork", [{"forked_from_id": "old"}, {}])
def test_the_parents_lines_in_a_codex_fork_are_its_own_history(fork: Line) -> None:
    lines = [
        meta("new", **fork),
        meta("old"),
        asked("Fix it."),
        *called("c1"),
        asked("Go on."),
        *called("c2"),
    ]
    trajectory = one(lines, "codex")
    assert trajectory.trajectory_id == "new"
    assert [step.observation for step in trajectory.steps] == ["saw c1\nGo on.", "saw c2"]


def test_a_codex_session_that_says_again_who_it_is_goes_on() -> None:
    lines = [meta("a"), asked("Fix it."), *called("c1"), meta("a", git={}), *called("c2"), meta("b"), asked("B"),
             *called("c1")]  # fmt: skip
    trajectories, ledger = read(lines, "codex", origin="x.jsonl")
    assert [(t.trajectory_id, t.task, len(t.steps)) for t in trajectories] == [
        ("a", "Fix it.", 2),
        ("b", "B", 1),
    ]
    assert not ledger.notes


def test_what_codex_writes_beside_the_users_words_is_no_task() -> None:
    def message(*texts: str) -> Line:
        content = [{"type": "input_text", "text": text} for text in texts]
        return {"timestamp": "t", "type": "response_item",
                "payload": {"type": "message", "role": "user", "content": content}}  # fmt: skip

    folder = "<environment_context>\n<cwd>/p</cwd>\n</environment_context>"
    lines = [
        meta("a"),
        message(
            "<recommended_plugins>\nNone.\n</recommended_plugins>",
            "# AGENTS.md\n<INSTRUCTIONS>",
            folder,
        ),
        message(folder, "<instructions>Fix it.</instructions>"),
        *called("c1"),
        message("Go on.", folder),
        *called("c2"),
    ]
    (trajectory,), ledger = read(lines, "codex")
    assert trajectory.task == "<instructions>Fix it.</instructions>"
    assert [step.observation for step in trajectory.steps] == ["saw c1\nGo on.", "saw c2"]
    assert ledger.notes == {"context_message": 3}


def test_words_of_another_codex_agent_are_the_users_and_its_own_are_not() -> None:
    def sent(author: str, recipient: str, *blocks: JSON) -> Line:
        payload = {"type": "agent_message", "author": author, "recipient": recipient, "content": list(blocks)}
        return {"timestamp": "t", "type": "response_item", "payload": payload}

    def sealed(text: str) -> Line:
        return {"type": "encrypted_content", "encrypted_content": text}

    head = {"type": "input_text", "text": "New task:"}
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": "p", "agent_path": "/root/worker"}}}
    lines = [
        meta("a", source=spawned),
        sent("/root", "/root/worker", head, sealed("Inspect the parser.")),
        *called("c1"),
        sent("/root/worker", "/root", head, sealed("I am done.")),
        sent("/root", "/root/worker", {"type": "input_text", "text": "Next:"}, sealed("gAAAAABx")),
        *called("c2"),
    ]
    (trajectory,), ledger = read(lines, "codex")
    assert trajectory.task == "New task:\nInspect the parser."
    assert [step.observation for step in trajectory.steps] == ["saw c1\nNext:", "saw c2"]
    assert ledger.notes == {"message_to_another_agent": 1, "encrypted_message": 1}


def happened(kind: str, name: str, of: str, **fields: JSON) -> Line:
    return {"type": f"item.{kind}", "item": {"id": name, "type": of, **fields}}


def plan(*done: bool) -> list[JSON]:
    return [{"text": str(number), "completed": each} for number, each in enumerate(done)]


STREAM: list[JSON] = [
    {"type": "thread.started", "thread_id": "t"},
    {"type": "turn.started"},
    happened("started", "item_0", "todo_list", items=plan(False, False)),
    happened("completed", "item_1", "agent_message", text="I look."),
    happened("started", "item_2", "command_execution", command="ls", aggregated_output="", status="in_progress"),
    happened("completed", "item_2", "command_execution", command="ls", aggregated_output="a.py", exit_code=0),
    happened("updated", "item_0", "todo_list", items=plan(True, False)),
    happened("started", "ws_1", "web_search", query=""),
    happened("completed", "ws_1", "web_search", query="acme", action={"type": "search"}),
    happened("completed", "item_0", "todo_list", items=plan(True, False)),
    {"type": "turn.completed", "usage": {}},
    {"type": "thread.started", "thread_id": "t"},
    {"type": "turn.started"},
    happened("started", "item_0", "command_execution", command="pytest", aggregated_output="", status="in_progress"),
    happened("completed", "item_0", "command_execution", command="pytest", aggregated_output="ok", exit_code=0),
]  # fmt: skip


def test_each_state_of_a_codex_plan_is_a_call_where_it_was_made() -> None:
    trajectory = one(STREAM, "codex")
    assert [(a.name, dict(a.arguments)) for step in trajectory.steps for a in step.actions] == [
        ("update_plan", {"items": plan(False, False)}),
        ("shell", {"command": "ls"}),
        ("update_plan", {"items": plan(True, False)}),
        ("web_search", {"query": "acme", "action": {"type": "search"}}),
        ("shell", {"command": "pytest"}),  # of the run that resumed the thread, which counts its items anew
    ]
    assert [step.thought for step in trajectory.steps] == ["", "I look.", "", "", ""]
    assert [step.observation for step in trajectory.steps] == ["", "a.py", "", "", "ok"]


@pytest.mark.parametrize("log", [STREAM, SEEDS["opencode-stream"]])
def test_streams_pass_their_validation(log: list[JSON], tmp_path: Path) -> None:
    source, store = tmp_path / "acme__w-1.jsonl", tmp_path / "out.jsonl"
    source.write_text(lines_of(log))
    arguments = [str(source), "--out", str(store), "--no-card", "--validate"]
    assert cli.run(lambda: convert(arguments)) == 0


# --- iFlow


def test_an_iflow_session_that_was_resumed_goes_on() -> None:
    lines = SEEDS["iflow"]
    resumed = [{**line, "parentUuid": "3"} for line in other(lines) if isinstance(line, dict)]
    trajectory = one([*lines, *resumed], "iflow")
    assert [step.observation for step in trajectory.steps] == ["a.py\nOther task.", "a.py"]


# --- opencode


def test_an_opencode_stream_gives_the_calls_as_they_began(tmp_path: Path) -> None:
    def event(kind: str, name: str, **fields: JSON) -> Line:
        part = {"id": name, "messageID": "m1", "type": "tool", "tool": name, "callID": name, "state": fields}
        return {"type": kind, "timestamp": 1, "sessionID": "ses_1", "part": part}

    log: list[JSON] = [
        event("tool_use", "prt_2", status="completed", input={"a": 1}, output="two"),
        event("tool_use", "prt_1", status="error", input={"a": 2}, error="one failed"),
        {"type": "error", "timestamp": 1, "sessionID": "ses_1", "error": {"name": "APIError"}},
    ]
    assert detect(log[0]).name == detect(log[2]).name == "opencode-stream"
    trajectory = one(log, "opencode-stream", origin="runs/acme__w-1/opencode.jsonl")
    assert seen(trajectory) == [(["prt_1", "prt_2"], "one failed\ntwo")]
    assert (trajectory.trajectory_id, trajectory.source) == ("ses_1", "opencode")
    path = tmp_path / "acme__w-7.jsonl"
    path.write_text(lines_of(log))
    ((found, account),) = read_trajectories_of([path], Ledger(), tasks={"acme__w-7": "It crashes."})
    assert (found.task, account.notes) == ("It crashes.", {"api_error": 1})


# --- Claude Code's tree


def said(uuid: str, parent: str | None, content: JSON, **more: JSON) -> Line:
    message = {"role": "user", "content": content}
    return {"type": "user", "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message, **more}


def replied(uuid: str, parent: str | None, name: str, call: str | None = None) -> Line:
    block = {"type": "tool_use", "id": call, "name": "Bash", "input": {"command": call}} if call else None
    content = [block or {"type": "text", "text": "Done."}]
    message = {"id": name, "role": "assistant", "model": "claude", "content": content}
    return {"type": "assistant", "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message}


def found(call: str) -> JSON:
    return [{"type": "tool_result", "tool_use_id": call, "content": f"saw {call}"}]


FLAT = [said("1", None, "Fix it."), replied("2", None, "m1", "c1"), said("3", None, found("c1")),
        said("4", None, "Go on."), replied("5", None, "m2", "c2"), said("6", None, found("c2"))]  # fmt: skip


def test_a_session_none_of_whose_lines_names_a_parent_is_read_in_their_order() -> None:
    (trajectory,), ledger = read(FLAT, "claude-code")
    assert (trajectory.task, seen(trajectory)) == (
        "Fix it.",
        [(["Bash"], "saw c1\nGo on."), (["Bash"], "saw c2")],
    )
    assert ledger.notes == {"line_without_parent": 5}


def test_a_reply_or_result_without_a_parent_follows_the_line_before() -> None:
    lines = [*FLAT[:4], {**FLAT[4], "parentUuid": "4"}, {**FLAT[5], "parentUuid": "5"}]
    trajectories, ledger = read(lines, "claude-code")  # a prompt without a parent begins another conversation
    assert [(t.task, seen(t)) for t in trajectories] == [
        ("Fix it.", [(["Bash"], "saw c1")]),
        ("Go on.", [(["Bash"], "saw c2")]),
    ]
    assert ledger.notes == {"line_without_parent": 2}


def test_sub_agents_without_names_stay_apart() -> None:
    side = {"isSidechain": True}
    lines = [
        said("1", None, "Fix it."), replied("2", "1", "m1", "c1"), said("3", "2", found("c1")),
        said("a", None, "Look.", **side), {**replied("b", "a", "m2", "c2"), **side},
        {**replied("d", None, "m3", "c3"), **side},
    ]  # fmt: skip
    trajectories, _ = read(lines, "claude-code")
    assert [(t.task, len(t.steps)) for t in trajectories] == [("Fix it.", 1), ("Look.", 1)]


def test_a_compaction_during_a_reply_keeps_what_was_before() -> None:
    boundary = {"type": "system", "subtype": "compact_boundary", "uuid": "cb", "parentUuid": None, "sessionId": "s",
                "logicalParentUuid": "4"}  # fmt: skip
    lines = [said("1", None, "Fix it."), replied("2", "1", "m1", "c1"), said("3", "2", found("c1")), boundary,
             said("cs", "cb", "A summary.", isCompactSummary=True), replied("4", "cs", "m2", "c2"),
             said("5", "4", found("c2"))]  # fmt: skip
    (trajectory,), ledger = read(lines, "claude-code")
    assert (trajectory.task, seen(trajectory)) == ("Fix it.", [(["Bash"], "saw c1"), (["Bash"], "saw c2")])
    assert ledger.notes == {"cycle_of_parents": 1}


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        (
            {"type": "tool_call", "subtype": "started", "call_id": "c", "tool_call": {}},
            "unknown_format",
            "Cursor",
        ),
        (
            {"type": "result", "subtype": "success", "result": "Done."},
            "no_agent_turn",
            "stream-json --verbose",
        ),
    ],
)
def test_streams_without_calls_of_claude_code_say_what_they_are(line: Line, reason: str, words: str) -> None:
    begin: Line = {"type": "system", "subtype": "init", "session_id": "s"}
    trajectories, ledger = read([begin, {**line, "session_id": "s"}], "claude-stream")
    assert trajectories == []
    assert ledger.trajectories.dropped == {reason: 1}
    assert words in json.dumps(ledger.to_json())


def test_the_summary_of_a_compacted_stream_is_no_observation() -> None:
    def streamed(line: Line, **more: JSON) -> Line:
        kept = {key: line[key] for key in ("type", "message", "uuid")}
        return {**kept, "session_id": "s", "parent_tool_use_id": None, **more}

    boundary = {"type": "system", "subtype": "compact_boundary", "session_id": "s", "uuid": "cb"}
    summary = streamed(said("cs", None, "A summary."), isSynthetic=True)
    after = streamed(said("hook", None, "Use tabs."), isSynthetic=True)
    lines = [*map(streamed, FLAT[:3]), boundary, summary, after, *map(streamed, FLAT[4:])]
    (trajectory,), ledger = read(lines, "claude-stream")
    assert (trajectory.task, seen(trajectory)) == (
        "Fix it.",
        [(["Bash"], "saw c1\nUse tabs."), (["Bash"], "saw c2")],
    )
    assert ledger.notes == {"compaction": 1}
    (resumed,), _ = read([boundary, summary, *map(streamed, FLAT[4:])], "claude-stream")
    assert resumed.task == "A summary."


# --- Pi's and Qwen Code's tree


@pytest.mark.parametrize("parent", [{"parentId": None}, {}])
def test_a_pi_session_without_a_tree_is_read_in_its_order(parent: Line, tmp_path: Path) -> None:
    def entry(number: int, **message: JSON) -> Line:
        return {"type": "message", "id": f"m{number}", "timestamp": "t", "message": message, **parent}

    call = {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"command": "ls"}}
    shown = {"type": "toolResult", "toolCallId": "c1", "text": "a.py"}  # as OpenClaw writes it
    log: list[JSON] = [
        {"type": "title", "title": "A title"},
        {"type": "session", "version": 3, "timestamp": "t", "cwd": "/p"},
        entry(1, role="user", content="Fix it."),
        entry(2, role="assistant", model="claude", content=[call]),
        entry(3, role="toolResult", toolCallId="c1", content=[shown]),
        entry(4, role="assistant", model="claude", content="Done."),
    ]
    (trajectory,) = of_file(tmp_path / "acme.jsonl", lines_of(log))
    assert (trajectory.source, trajectory.trajectory_id, trajectory.task) == ("pi", "acme", "Fix it.")
    assert seen(trajectory) == [(["bash"], "a.py"), ([], "")]


def test_a_qwen_chat_none_of_whose_lines_names_a_parent_is_read_in_their_order() -> None:
    lines = [{key: value for key, value in line.items() if key != "parentUuid"} for line in SEEDS["qwen-code"]
             if isinstance(line, dict)]  # fmt: skip
    assert seen(one(lines, "qwen-code")) == [(["run_shell_command"], "a.py")]
