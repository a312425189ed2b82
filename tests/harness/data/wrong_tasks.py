"""Stores with the wrong task, or without the reasoning."""

import json

from tests.harness.data.foreign_documents import (
    ATIF_TASK,
    LOOK,
    LS,
    act,
    answer,
    atif,
    chat,
    line,
    reply,
    result,
    said,
    use,
    user,
    xml,
)
from tests.harness.data.wrong_stores import Case, old

# 4: whose task it is.
_EXAMPLE = (
    "Here's a running example of how to perform a task with the provided tools.\n\n"
    "--------------------- START OF EXAMPLE ---------------------\n\n"
    f"USER: Make a list.\n\nASSISTANT: {xml('execute_bash', command='ls')}\n\n"
    "--------------------- END OF EXAMPLE ---------------------\n\n"
    "Do NOT assume the environment is the same as in the example above.\n\n"
    "--------------------- NEW TASK DESCRIPTION ---------------------\nFix a.py\n"
    "--------------------- END OF NEW TASK DESCRIPTION ---------------------\n\n"
    "PLEASE follow the format strictly! PLEASE EMIT ONE AND ONLY ONE FUNCTION CALL PER MESSAGE.\n"
)
TASKS = {
    "rollouts_of_a_row": Case(
        files={
            "rows.jsonl": [
                chat(said("Look.", LS), answer("a.py"), instance_id=f"acme__widgets-12_{n}") for n in (0, 1)
            ]
        },
        old=[old(f"acme__widgets-12_{n}", "Fix a.py", LOOK, source="openai") for n in (0, 1)],
        found_by={"instance"},
    ),
    "trials_of_harbor": Case(
        files={
            f"job/acme__widgets-12__{name}/agent/trajectory.json": atif(
                ATIF_TASK, act("Look.", LS, "a.py"), session=name
            )
            for name in ("AbCdEfg", "HiJkLmN")
        },
        old=[
            old(name, "Fix a.py", LOOK, source="atif", instance=f"acme__widgets-12__{name}")
            for name in ("AbCdEfg", "HiJkLmN")
        ],
        found_by={"instance"},
    ),
    "the_example_of_openhands": Case(
        files={
            "rows.jsonl": [
                {
                    "messages": [
                        user(_EXAMPLE),
                        reply("Look.\n" + xml("execute_bash", command="ls")),
                        user("EXECUTION RESULT of [execute_bash]:\na.py"),
                    ]
                }
            ]
        },
        old=[
            old("rows:1", _EXAMPLE.strip(), ("Look.", [("execute_bash", LS[1])], "a.py"), source="openai"),
        ],
        found_by={"task"},
    ),
}

# 5: reasoning.
_THOUGHT = "I should list the files."
REASONING = {
    "reasoning_content": Case(
        files={"chat.json": chat(said("", LS, reasoning_content=_THOUGHT), answer("a.py"))},
        old=[old("chat", "Fix a.py", ("", [LS], "a.py"), source="openai")],
        found_by={"reasoning_lost"},
    ),
    "think_in_the_text": Case(
        files={"chat.json": chat(said(f"<think>\n{_THOUGHT}\n</think>\n\nLook.", LS), answer("a.py"))},
        old=[
            old(
                "chat",
                "Fix a.py",
                (f"<think>\n{_THOUGHT}\n</think>\n\nLook.", [LS], "a.py"),
                source="openai",
            )
        ],
        found_by={"reasoning_lost"},
    ),
    "reasoning_of_atif": Case(
        files={"run.json": atif(ATIF_TASK, act("Look.", LS, "a.py", reasoning_content=_THOUGHT))},
        old=[old("s1", "Fix a.py", LOOK, source="atif", instance="run")],
        found_by={"reasoning_lost"},
    ),
    "a_summary_of_the_responses_api": Case(
        files={
            "run.json": {
                "input": "Fix a.py",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": _THOUGHT}]},
                    {
                        "type": "function_call",
                        "name": "bash",
                        "call_id": "c1",
                        "arguments": json.dumps(LS[1]),
                    },
                    {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
                ],
            }
        },
        old=[old("run", "Fix a.py", ("", [LS], "a.py"), source="responses")],
        found_by={"reasoning_lost"},
    ),
    "thinking_of_claude_code": Case(
        files={
            "0a1b.jsonl": [
                line("u1", None, "user", "Fix a.py"),
                line(
                    "a1",
                    "u1",
                    "assistant",
                    [
                        {"type": "thinking", "thinking": _THOUGHT, "signature": "x"},
                        use("t1", *LS[:1], **LS[1]),
                    ],
                ),
                line("r1", "a1", "user", [result("t1", "a.py")]),
            ]
        },
        old=[old("0a1b", "Fix a.py", ("", [LS], "a.py"), source="claude-code")],
        found_by={"reasoning_lost"},
    ),
}
