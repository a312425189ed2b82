"""Stores with calls that were not made, or that are lost with their results."""

import json

from tests.harness.data.foreign_documents import (
    CAT,
    GOOD,
    LOOK,
    LS,
    TASK,
    TEST,
    answer,
    chat,
    event_files,
    line,
    reply,
    result,
    said,
    sdk,
    sdk_call,
    use,
    user,
    xml,
)
from tests.harness.data.wrong_stores import Case, old

# 3: a call that was not made, or was lost with its result.
_VIEW = xml("str_replace_editor", command="view", path="/w/a.py")
_ADVICE = result("s1", {"type": "advisor_result", "text": "Use a lock."}, "advisor_tool_result")
_COUNTED = {"type": "bash_code_execution_result", "stdout": "42 a.py\n", "stderr": "", "return_code": 0}
_REFUSED = {"_openhands_malformed_tool_call": True, "error": "Not JSON."}
CALLS = {
    "the_shell_line_before_the_xml_call": Case(
        files={
            "run.traj": {
                "environment": "e",
                "trajectory": [],
                "info": {},
                "history": [
                    {**TASK, "message_type": "observation", "agent": "main"},
                    {
                        **reply(f"Look.\n{_VIEW}"),
                        "thought": "Look.",
                        "action": "str_replace_editor view /w/a.py",
                        "message_type": "action",
                    },
                    {**user("OBSERVATION:\nx = 1"), "message_type": "observation"},
                ],
            }
        },
        old=[
            old(
                "run",
                "Fix a.py",
                ("Look.", [("bash", {"command": "str_replace_editor view /w/a.py"})], "x = 1"),
                source="swe-agent",
            )
        ],
        found_by={"call_not_made", "call_lost"},
    ),
    "an_id_written_twice": Case(
        files={
            "chat.json": chat(
                {**said("Look.", LS), "tool_calls": said("", LS)["tool_calls"] * 2}, answer("a.py")
            )
        },
        old=[old("chat", "Fix a.py", ("Look.", [LS, LS], "a.py"), source="openai")],
        found_by={"call_not_made"},
    ),
    "a_server_tool_of_claude_code": Case(
        files={
            "0a1b.jsonl": [
                line("u1", None, "user", "Fix a.py"),
                line(
                    "a1",
                    "u1",
                    "assistant",
                    [use("s1", "advisor", "server_tool_use"), _ADVICE, use("t1", "Bash", **LS[1])],
                ),
                line("r1", "a1", "user", [result("t1", "a.py")]),
            ]
        },
        old=[old("0a1b", "Fix a.py", ("", [("advisor", {}), ("Bash", LS[1])], "a.py"), source="claude-code")],
        found_by={"result_lost"},
    ),
    "a_server_tool_of_the_api": Case(
        files={
            "body.json": chat(
                {
                    "role": "assistant",
                    "content": [
                        use("s1", "bash_code_execution", "server_tool_use", command="wc -l a.py"),
                        result("s1", _COUNTED, "bash_code_execution_tool_result"),
                    ],
                },
                user("Thanks"),
                model="claude-x",
                max_tokens=9,
            )
        },
        old=[
            old(
                "body",
                "Fix a.py",
                (
                    "",
                    [("bash_code_execution", {"command": "wc -l a.py"})],
                    "[bash_code_execution_result]\nThanks",
                ),
                source="anthropic",
            )
        ],
        found_by={"result_lost"},
    ),
    "a_call_that_is_not_closed": Case(
        files={
            "rows.jsonl": [
                chat(
                    reply("Look.\n" + xml("execute_bash", closed=False, command="ls")),
                    user("EXECUTION RESULT of [execute_bash]:\na.py"),
                    reply(xml("finish", message="Done")),
                )
            ]
        },
        old=[old("rows:1", "Fix a.py", ("", [("finish", {"message": "Done"})], ""), source="openai")],
        found_by={"call_lost"},
        dropped={"rows.jsonl": {"unparsable_call": 1}},
    ),
    "a_placeholder_for_a_refused_call": Case(
        files=event_files(*sdk("a", "ls"), *sdk_call("c", _REFUSED)),
        old=[
            old(
                "in",
                "Task of a",
                ("", [("terminal", LS[1])], "out of a"),
                ("", [("terminal", _REFUSED)], "out of c"),
                source="openhands-sdk",
            )
        ],
        found_by={"call_not_made"},
    ),
    "a_reply_outside_the_messages": Case(
        files={
            "log.json": chat(
                said("Look.", LS),
                answer("a.py"),
                response={
                    "id": "x",
                    "object": "chat.completion",
                    "choices": [{"message": said("", TEST, ids="d")}],
                },
            )
        },
        old=[old("log", "Fix a.py", LOOK, source="openai")],
        found_by={"call_lost"},
    ),
    "the_older_function_call": Case(
        files={
            "chat.json": chat(
                said("Look.", LS),
                answer("a.py"),
                {**reply(""), "function_call": {"name": "bash", "arguments": '{"command": "pytest"}'}},
                {"role": "function", "name": "bash", "content": "1 passed"},
            )
        },
        old=[old("chat", "Fix a.py", LOOK, source="openai")],
        found_by={"call_lost", "result_lost"},
        dropped={"chat.json": {"empty_turn": 1}},
    ),
    "calls_of_hermes": Case(
        files={
            "rows.jsonl": [
                GOOD,
                chat(
                    reply(
                        f"Look.\n<tool_call>\n{json.dumps({'name': 'bash', 'arguments': CAT[1]})}\n</tool_call>"
                    ),
                    user("<tool_response>\nx = 1\n</tool_response>"),
                ),
            ]
        },
        old=[old("rows:1", "Fix b.py", ("Look.", [LS], "b.py"), source="openai")],
        found_by={"call_lost"},
        dropped={"rows.jsonl": {"no_step_with_action": 1}},
    ),
}
