"""Stores with the faults of detection, and of whose turn it is."""

from typing import Any

from tests.harness.data.foreign_documents import (
    ATIF_TASK,
    GOOD,
    LOOK,
    LS,
    TEST,
    act,
    atif,
    chat,
    event_files,
    line,
    reply,
    result,
    sdk,
    use,
    user,
    xml,
)
from tests.harness.data.wrong_stores import Case, old

# 1: detection by the words of a reply.
_FENCED = "I would run:\n```bash\nmake\n```\nbut first:\n\n"
_MINI = "Fix a.py. Reply with one command in ```bash; end with MINI_SWE_AGENT_FINAL_OUTPUT."
_BOTH = "Both:\n```bash\nrm a.py\n```\nand\n```bash\nrm b.py\n```"
_READ = {"functionCall": {"id": "c1", "name": "read_file", "args": {"path": "a.py"}}}
_IFLOW = [
    line("u1", None, "user", "Fix a.py"),
    line("a1", "u1", "assistant", [use("c1", "read_file", path="a.py")]),
    line("a2", "u1", "assistant", [use("c1", "read_file", path="a.py"), use("c2", "read_file", path="b.py")]),
    line(
        "r1",
        "a2",
        "user",
        [result("c1", {"functionResponse": {"id": "c1", "response": {"output": "x = 1"}}})],
    ),
    line(
        "r2",
        "a2",
        "user",
        [result("c2", {"functionResponse": {"id": "c2", "response": {"output": "y = 1"}}})],
    ),
]
_QWEN: list[dict[str, Any]] = [
    {
        "uuid": "u1",
        "parentUuid": None,
        "type": "user",
        "message": {"role": "user", "parts": [{"text": "Fix a.py"}]},
    },
    {"uuid": "a1", "parentUuid": "u1", "type": "assistant", "message": {"role": "model", "parts": [_READ]}},
]
DETECTION = {
    "a_fence_in_a_chat_with_xml_calls": Case(
        files={
            "rows.jsonl": [
                chat(
                    reply("Look.\n\n" + xml("bash", command="ls")),
                    user("OBSERVATION:\na.py"),
                    reply(_FENCED + xml("bash", command="cat a.py")),
                    user("OBSERVATION:\nx = 1"),
                )
            ]
        },
        old=[
            old(
                "rows:1",
                "Fix a.py",
                ("Look.\n\n" + xml("bash", command="ls"), [], "OBSERVATION:\na.py"),
                ("I would run:", [("bash", {"command": "make"})], "OBSERVATION:\nx = 1"),
                source="mini-swe-agent",
            )
        ],
        found_by={"call_not_made", "call_lost"},
    ),
    "an_instance_id_beside_mini_swe_agent": Case(
        files={
            "rows.jsonl": [
                {
                    "instance_id": "acme__widgets.1a2b3c4d.pr_7",
                    "messages": [
                        user(_MINI),
                        reply("Look.\n\n```bash\nls\n```"),
                        user("a.py"),
                        reply(_BOTH),
                        user("Give exactly one command."),
                        reply("Test.\n\n```bash\npytest\n```"),
                        user("1 passed"),
                    ],
                }
            ]
        },
        old=[
            old(
                "acme__widgets.1a2b3c4d.pr_7",
                _MINI,
                LOOK,
                (
                    "Both:\n```bash\nrm a.py\n```\nand",
                    [("bash", {"command": "rm b.py"})],
                    "Give exactly one command.",
                ),
                ("Test.", [TEST], "1 passed"),
                source="swe-smith",
            )
        ],
        found_by={"call_not_made"},
    ),
    "qwen_code_as_claude_code": Case(
        files={"chat.json": GOOD, "qwen.jsonl": [{"sessionId": "q1", "cwd": "/w", **one} for one in _QWEN]},
        old=[old("chat", "Fix b.py", ("Look.", [LS], "b.py"), source="openai")],
        found_by={"call_lost"},
        dropped={"qwen.jsonl": {"empty_turn": 1}},
    ),
    "iflow_as_claude_code": Case(
        files={"session-7.jsonl": [{**one, "sessionId": "session-7"} for one in _IFLOW]},
        old=[
            old(
                "session-7#1",
                "Fix a.py",
                ("", [("read_file", {"path": "a.py"})], "[text]"),
                source="claude-code",
                instance="session-7",
            ),
            old(
                "session-7#2",
                "Fix a.py",
                ("", [("read_file", {"path": "a.py"}), ("read_file", {"path": "b.py"})], "[text]\n[text]"),
                source="claude-code",
                instance="session-7",
            ),
        ],
        found_by={"result_lost"},
    ),
}

# 2: whose turn it is.
_MAIN, _SIDE = {"is_sidechain": False}, {"is_sidechain": True, "agent_id": "ag7"}
_ASK, _SEARCH, _EDIT = ("Task", {"prompt": "Find x"}), ("Grep", {"pattern": "x"}), ("Edit", {"path": "a.py"})
_RUN = [("1", ("Bash", {"command": "ls"}), "a.py"), ("2", ("Bash", {"command": "cat a.py"}), "x = 1"),
        ("3", ("Bash", {"command": "pytest"}), "1 passed")]  # fmt: skip
_SESSION = [
    line("u1", None, "user", "Fix a.py"),
    line("a1", "u1", "assistant", [{"type": "text", "text": "1"}, use("t1", "Bash", command="ls")]),
    line("r1", "a1", "user", [result("t1", "a.py")]),
    line("a2", "r1", "assistant", [{"type": "text", "text": "2"}, use("t2", "Bash", command="cat a.py")]),
    line("r2", "a2", "user", [result("t2", "x = 1")]),
    line("a3", "r2", "assistant", [{"type": "text", "text": "3"}, use("t3", "Bash", command="pytest")]),
    line("r3", "a3", "user", [result("t3", "1 passed")]),
]
SPEAKERS = {
    "sub_agents_in_the_main_steps": Case(
        files={
            "run.json": atif(
                ATIF_TASK,
                act("I ask.", _ASK, "x is in a.py", "c1", extra=_MAIN),
                act("Search.", _SEARCH, "a.py:1", "c2", extra=_SIDE),
                act("Edit.", _EDIT, "ok", "c3", extra=_MAIN),
            )
        },
        old=[
            old(
                "s1",
                "Fix a.py",
                ("I ask.", [_ASK], "x is in a.py"),
                ("Search.", [_SEARCH], "a.py:1"),
                ("Edit.", [_EDIT], "ok"),
                source="atif",
                instance="run",
            )
        ],
        found_by={"other_agent"},
    ),
    "a_placeholder_for_a_thought": Case(
        files={"run.json": atif(ATIF_TASK, act("Executed Bash toolu_1", ("Bash", LS[1]), "a.py", "toolu_1"))},
        old=[
            old(
                "s1",
                "Fix a.py",
                ("Executed Bash toolu_1", [("Bash", LS[1])], "a.py"),
                source="atif",
                instance="run",
            )
        ],
        found_by={"other_agent"},
    ),
    "results_as_steps_of_the_agent": Case(
        files={
            "run.json": atif(
                ATIF_TASK,
                {
                    "source": "agent",
                    "message": "",
                    "tool_calls": [{"tool_call_id": "c1", "function_name": "exec", "arguments": LS[1]}],
                    "extra": {"openclaw_role": "assistant"},
                },
                {
                    "source": "agent",
                    "message": "a.py b.py",
                    "observation": {"results": [{"content": "a.py b.py"}]},
                    "extra": {"openclaw_role": "toolResult", "tool_call_id": "c1"},
                },
            )
        },
        old=[
            old(
                "s1",
                "Fix a.py",
                ("", [("exec", LS[1])], ""),
                ("a.py b.py", [], "a.py b.py"),
                source="atif",
                instance="run",
            )
        ],
        found_by={"other_agent", "result_misplaced"},
    ),
    "two_conversations_in_one_folder": Case(
        files=event_files(*sdk("a", "ls"), *sdk("b", "pwd")),
        old=[
            old(
                "in",
                "Task of a",
                ("", [("terminal", LS[1])], "out of a\nTask of b"),
                ("", [("terminal", {"command": "pwd"})], "out of b"),
                source="openhands-sdk",
            )
        ],
        found_by={"other_agent"},
    ),
    "a_run_in_two_formats": Case(
        files={
            "trial/agent/trajectory.json": atif(
                ATIF_TASK, *(act(*one, f"t{n}") for n, one in enumerate(_RUN, 1)), session="0a1b"
            ),
            "trial/agent/sessions/projects/-w/0a1b.jsonl": _SESSION,
        },
        old=[
            old(
                name,
                "Fix a.py",
                *((thought, [call], text) for thought, call, text in _RUN),
                source=source,
                instance=instance,
            )
            for name, source, instance in (("0a1b", "atif", "trial"), ("0a1b~2", "claude-code", "0a1b"))
        ],
        found_by={"twice"},
    ),
}
