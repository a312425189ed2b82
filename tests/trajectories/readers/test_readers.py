"""Every format, small and by hand, with its traps."""

import json
from dataclasses import replace

import pytest

from tests.trajectories.reading import one, read
from trajectories.readers import READERS
from trajectories.readers.detect import detect
from trajectories.store import to_json
from trajectories.types import JSON, Action, Step, Trajectory


def openai_call(name: str, arguments: JSON, call_id: str | None = None) -> dict[str, JSON]:
    call: dict[str, JSON] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return call | ({"id": call_id} if call_id else {})


# --- SWE-smith

USER = {"role": "user", "content": "<pr_description>\nIt crashes.\n</pr_description>\nFix it."}


def smith(messages: list[dict[str, JSON]] | str, **row: JSON) -> dict[str, JSON]:
    row = {"instance_id": "acme__w.1a2b3c4d.pr_1", "model": "m", "resolved": True, "traj_id": "t.1"} | row
    return row | {"messages": messages}


def test_swe_smith_tool_rows() -> None:
    messages: list[dict[str, JSON]] = [
        {"role": "system", "content": "You are."},
        {"role": "user", "content": [{"type": "text", "text": USER["content"]}], "message_type": "observation"},
        {
            "role": "assistant", "content": "Look.", "thought": "Look.", "action": "ls", "message_type": "action",
            "tool_calls": [openai_call("bash", '{"command": "ls"}', "c1")],
        },
        {
            "role": "tool", "content": [{"type": "text", "text": "OBSERVATION:\na.py"}],
            "message_type": "observation", "tool_call_ids": ["c1"],
        },
        {
            "role": "assistant", "content": None, "thought": "", "action": "submit", "message_type": "action",
            "tool_calls": [openai_call("submit", "{}")],
        },
        {
            "role": "tool", "message_type": "observation",
            "content": [{"type": "text", "text": "OBSERVATION:\nReview.\n<diff>\ndiff --git a/a.py b/a.py\n</diff>"}],
        },
        {
            "role": "assistant", "content": "Again.", "action": "submit", "message_type": "action",
            "tool_calls": [openai_call("submit", "{}", "c3")],
        },
    ]  # fmt: skip
    trajectory = one(smith(messages, patch="diff --git of another repository"))
    assert trajectory == one(smith(json.dumps(messages), patch="x"))
    assert trajectory.source == "swe-smith"
    assert (trajectory.trajectory_id, trajectory.repository) == ("t.1", "acme/w")
    assert trajectory.task == "It crashes."
    assert trajectory.metadata["prompt"] == USER["content"]
    assert trajectory.steps[0] == Step(
        thought="Look.", actions=(Action(name="bash", arguments={"command": "ls"}),), observation="a.py"
    )
    assert [step.actions[0].name for step in trajectory.steps] == ["bash", "submit", "submit"]
    assert trajectory.patch == "diff --git a/a.py b/a.py\n"  # of the submit, not of the column


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_swe_smith_patch_is_the_diff_and_not_the_review_around_it(end: str) -> None:
    diff = end.join(["diff --git a/a.py b/a.py", "-x", "+y", " "])
    review = end.join(["1. Use below <diff> to find the files.", "", "<diff>", diff, "", "</diff>"])
    call = "<function=submit>\n</function>"
    messages = [
        USER,
        {"role": "assistant", "content": f"Done.\n\n{call}"},
        {"role": "user", "content": f"OBSERVATION:\n{review}"},
        {"role": "assistant", "content": f"Again.\n\n{call}"},
    ]
    assert one(smith(messages)).patch == "diff --git a/a.py b/a.py\n-x\n+y\n \n"


def test_swe_smith_patch_column_alone_is_not_trusted() -> None:
    messages = [USER, {"role": "assistant", "content": "<function=submit>\n</function>"}]
    (trajectory,), ledger = read(smith(messages, patch="diff --git a/other b/other"))
    assert trajectory.patch is None
    assert ledger.notes == {"patch_column_not_trusted": 1}


def test_swe_smith_xml_rows() -> None:
    call = (
        "Edit.\n\n<function=str_replace_editor>\n<parameter=command>str_replace</parameter>\n"
        "<parameter=path>/t/a.py</parameter>\n<parameter=old_str>\n\n  x = 1\n\n</parameter>\n"
        "<parameter=new_str>\nif a < b > c:\n</parameter>\n</function>"
    )
    made_up = (
        "Since we have successfully fixed the issue and verified it works, let's submit the changes:\n\n"
        "<function=submit>\n</function>"
    )
    broken = "<function=bash>\n<parameter=command>ls"
    (trajectory,), ledger = read(
        smith(
            [
                USER,
                {"role": "assistant", "content": call},
                {"role": "user", "content": "OBSERVATION:\nok"},
                {"role": "assistant", "content": broken},
                {"role": "user", "content": "OBSERVATION:\nYour call is broken"},
                {"role": "assistant", "content": made_up},
            ]
        )
    )
    (step,) = trajectory.steps
    assert (step.thought, step.observation) == ("Edit.", "ok")
    assert step.actions[0].arguments == {
        "command": "str_replace", "path": "/t/a.py", "old_str": "\n  x = 1\n", "new_str": "if a < b > c:",
    }  # fmt: skip
    assert ledger.steps.dropped == {"unparsable_call": 1, "made_up_submit": 1}


def test_swe_smith_ticks_rows() -> None:
    (trajectory,), ledger = read(
        smith(
            [
                USER,
                {
                    "role": "assistant",
                    "content": "Like ```x```:\n\n```py\nold\n```\n\nNow:\n\n```\ncat a <<E\n\nE\n```",
                },
                {"role": "user", "content": "OBSERVATION:\nok"},
                {"role": "assistant", "content": "Exit due to context window"},
            ]
        )
    )
    (step,) = trajectory.steps
    assert step.actions == (Action(name="bash", arguments={"command": "cat a <<E\n\nE"}),)
    assert step.thought.endswith("Now:")
    assert ledger.steps.dropped == {"exit_marker": 1}


# --- SWE-agent


def test_swe_agent_0x() -> None:
    run = {
        "environment": "swe_main",
        "history": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a demonstration", "is_demo": True},
            {"role": "assistant", "content": "demo", "thought": "demo", "action": "demo", "is_demo": True},
            {"role": "user", "content": "Here's the issue text:\nISSUE:\nIt hangs.\n\nINSTRUCTIONS:\nNow."},
            {"role": "assistant", "content": "Look.\n<command>\nls\n</command>", "thought": "Look.", "action": "ls\n"},
            {"role": "user", "content": "a.py\nbash-$"},
            {"role": "assistant", "content": "Exit due to cost limit", "thought": "Exit due to cost limit",
             "action": "exit_cost"},
        ],
        "trajectory": [
            {"action": "ls\n", "observation": "a.py", "response": "", "thought": "Look.", "state": "{}"},
            {"action": "exit_cost", "observation": "Exited", "response": "", "thought": "", "state": "{}"},
        ],
        "info": {"exit_status": "submitted (exit_cost)", "submission": "diff --git a b"},
    }  # fmt: skip
    (trajectory,), ledger = read(run, origin="runs/acme__w-7.traj")
    assert (trajectory.instance_id, trajectory.task) == ("acme__w-7", "It hangs.")
    assert trajectory.patch == "diff --git a b"
    assert [step.actions[0].arguments["command"] for step in trajectory.steps] == ["ls\n"]
    assert trajectory.steps[0].observation == "a.py\nbash-$"
    assert ledger.steps.dropped == {"exit_marker": 1}


def test_swe_agent_1x_takes_arguments_from_tool_calls_and_the_last_observation_from_the_trajectory() -> None:
    run = {
        "history": [
            {"role": "system", "content": "s", "message_type": "system_prompt"},
            {"role": "user", "content": [{"type": "text", "text": "Fix it"}], "message_type": "observation"},
            {
                "role": "assistant", "content": "", "thought": "View.", "action": "str_replace_editor view /a.py",
                "message_type": "action", "thinking_blocks": [{"type": "thinking", "thinking": "secret"}],
                "tool_calls": [openai_call("str_replace_editor", '{"command": "view", "path": "/a.py"}', "c1")],
            },
        ],
        "trajectory": [{"action": "…", "observation": "1 import os", "thought": "View."}],
        "info": {"exit_status": None, "submission": None, "swe_agent_version": "1.1.0"},
        "replay_config": json.dumps(
            {
                "agent": {"model": {"name": "claude"}},
                "problem_statement": {"id": "acme__w-9", "text": "It breaks."},
            }
        ),
    }  # fmt: skip
    trajectory = one(run)
    assert (trajectory.instance_id, trajectory.task, trajectory.model) == (
        "acme__w-9",
        "It breaks.",
        "claude",
    )
    (step,) = trajectory.steps
    assert step.actions[0].arguments == {"command": "view", "path": "/a.py"}
    assert (step.thought, step.observation) == ("View.", "1 import os")


def test_swe_agent_retry_attempts_become_trajectories() -> None:
    history = [
        {"role": "user", "content": "Fix"},
        {"role": "assistant", "content": "x", "thought": "x", "action": "ls"},
        {"role": "user", "content": "a"},
    ]
    found, _ = read({"attempts": [{"history": history, "trajectory": []}] * 2, "info": {}})
    assert [trajectory.trajectory_id for trajectory in found] == [
        "acme__w-1#attempt-1",
        "acme__w-1#attempt-2",
    ]


# --- mini-swe-agent


def mini(*messages: dict[str, JSON], **top: JSON) -> dict[str, JSON]:
    info = {"exit_status": "Submitted", "submission": "diff --git a b", "mini_version": "2.4.6",
            "config": {"model": {"model_name": "claude"}}}  # fmt: skip
    first = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Please solve this issue: It dies."},
    ]
    return {"trajectory_format": "mini-swe-agent-1.1", "info": info, "messages": [*first, *messages]} | top


def test_mini_text_mode_with_refused_turns() -> None:
    (trajectory,), ledger = read(
        mini(
            {"role": "assistant", "content": "THOUGHT: Look.\n\n```bash\nls\n```"},
            {"role": "user", "content": "<returncode>0</returncode>"},
            {"role": "assistant", "content": "```bash\nls\n```\nand\n```bash\npwd\n```"},
            {"role": "user", "content": "EXACTLY ONE action", "extra": {"interrupt_type": "FormatError"}},
            {"role": "assistant", "content": "```python\nx\n```"},
            {"role": "user", "content": "EXACTLY ONE action", "extra": {"interrupt_type": "FormatError"}},
            {"role": "assistant", "content": "Hmm."},
            {"role": "user", "content": "EXACTLY ONE action"},
            {
                "role": "assistant",
                "content": "```mswea_bash_command\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```",
            },
            {
                "role": "exit",
                "content": "diff",
                "extra": {"exit_status": "Submitted", "submission": "diff --git a b"},
            },
        )
    )
    commands = [[action.arguments["command"] for action in step.actions] for step in trajectory.steps]
    assert commands == [["ls"], [], [], [], ["echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"]]
    refused = ["EXACTLY ONE action"] * 3
    assert [step.observation for step in trajectory.steps] == ["<returncode>0</returncode>", *refused, ""]
    assert trajectory.steps[0].thought == "THOUGHT: Look."
    assert trajectory.steps[1].thought == "```bash\nls\n```\nand\n```bash\npwd\n```"
    assert (trajectory.model, trajectory.patch) == ("claude", "diff --git a b")
    assert not ledger.steps.dropped
    assert ledger.notes == {"several_command_blocks": 1, "no_command_block": 1, "no_action": 1}


def test_mini_tool_mode_with_parallel_calls() -> None:
    trajectory = one(
        mini(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    openai_call("bash", '{"command": "ls"}', "1"),
                    openai_call("bash", '{"command": "pwd"}', "2"),
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": "a.py"},
            {"role": "tool", "tool_call_id": "2", "content": "/t"},
            {"role": "user", "content": "bye", "extra": {"exit_status": "Submitted"}},
        )
    )
    (step,) = trajectory.steps
    assert [action.arguments["command"] for action in step.actions] == ["ls", "pwd"]
    assert step.observation == "a.py\n/t"


def test_mini_responses_api_messages_lack_role_and_content() -> None:
    output = [
        {"type": "message", "content": [{"type": "output_text", "text": "Look."}]},
        {"type": "function_call", "name": "bash", "arguments": '{"command": "ls"}', "call_id": "c"},
    ]
    trajectory = one(
        mini(
            {"object": "response", "output": output},
            {"type": "function_call_output", "call_id": "c", "output": "a.py"},
        )
    )
    assert (trajectory.steps[0].thought, trajectory.steps[0].observation) == ("Look.", "a.py")


def test_mini_bare_list_of_messages() -> None:
    system, user, *rest = mini({"role": "assistant", "content": "```mswea_bash_command\nls\n```"})["messages"]
    system = system | {"content": "Write one ```mswea_bash_command block."}
    trajectory = one([system, user, *rest])
    assert (trajectory.source, trajectory.trajectory_id) == ("mini-swe-agent", "acme__w-1")


# --- Anthropic Messages


def test_anthropic_body_and_bare_list() -> None:
    messages = [
        {"role": "user", "content": "List files"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "secret", "signature": "s"},
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "a", "name": "bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "b", "name": "bash", "input": {"command": "pwd"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "b", "content": "/t"},
                {"type": "tool_result", "tool_use_id": "a", "content": [
                    {"type": "text", "text": "a.py"}, {"type": "image", "source": {}}]},
                {"type": "text", "text": "Hurry."},
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
    ]  # fmt: skip
    (trajectory,), ledger = read({"model": "claude", "max_tokens": 9, "system": "s", "messages": messages})
    step, end = trajectory.steps
    assert (step.thought, step.observation) == ("Looking.", "a.py\n[image]\n/t\nHurry.")
    assert [action.arguments["command"] for action in step.actions] == ["ls", "pwd"]
    assert end == Step(thought="Done.", actions=(), observation="")
    assert ledger.notes == {"final_message": 1, "reasoning_kept": 1}
    assert (trajectory.model, trajectory.task) == ("claude", "List files")
    assert one(messages).steps == trajectory.steps


def test_anthropic_input_that_is_no_object_makes_the_turn_unusable() -> None:
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "bash", "input": "ls"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "bad input"}]},
    ]
    found, ledger = read(messages)
    assert not found
    assert ledger.steps.dropped == {"arguments_not_an_object": 1}
    assert ledger.trajectories.dropped == {"no_step_with_action": 1}


# --- OpenAI chat


def test_openai_chat_with_null_contents_bad_arguments_and_a_user_who_answers() -> None:
    (trajectory,), ledger = read(
        {
            "instance_id": "acme__w-2",
            "resolved": False,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Go"}]},
                {"role": "assistant", "tool_calls": [openai_call("execute_bash", {"command": "ls"}, "1")]},
                {"role": "tool", "tool_call_id": "1", "content": None},
                {"role": "assistant", "content": "I am done."},
                {"role": "user", "content": "Please continue."},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [openai_call("execute_bash", '{"command": ', "2")],
                },
                {"role": "tool", "tool_call_id": "2", "content": "not JSON"},
                {
                    "role": "assistant",
                    "content": "\ud800 end",
                    "tool_calls": [openai_call("finish", "", "3")],
                },
            ],
        }
    )
    assert trajectory.resolved is False
    assert [step.observation for step in trajectory.steps] == ["", "Please continue.", ""]
    assert [step.actions for step in trajectory.steps[1:]] == [(), (Action(name="finish", arguments={}),)]
    assert ledger.steps.dropped == {"arguments_not_an_object": 1}
    assert ledger.notes == {"no_action": 1}
    assert json.loads(json.dumps(to_json(trajectory)))["steps"][2]["thought"] == "\ud800 end"


def test_openai_chat_with_xml_calls_in_the_text() -> None:
    messages = [
        {"role": "user", "content": "Go"},
        {
            "role": "assistant",
            "content": "<function=execute_bash>\n<parameter=command>ls</parameter>\n</function>",
        },
        {"role": "user", "content": "EXECUTION RESULT of [execute_bash]:\na.py"},
    ]
    assert one({"messages": messages}).steps[0].observation == "a.py"


# --- TRAE


def trae_step(content: str, call: dict[str, JSON] | None, **more: JSON) -> dict[str, JSON]:
    calls = [call] if call else None
    return {"llm_response": {"content": content, "tool_calls": calls}, "tool_calls": calls} | more


def test_trae_line_with_summary() -> None:
    ls = {"call_id": "1", "name": "bash", "arguments": {"command": "ls"}, "id": None}
    done: dict[str, JSON] = {"call_id": "2", "name": "task_done", "arguments": {}, "id": None}
    refused = [{"role": "user", "content": "ERROR! Your Patch is empty."}]
    row = {
        "source_path": "x/runs/acme/2026-01-01/item-1/trajectory.json",
        "trajectory": {
            "task": "t", "model": "claude", "success": True,
            "agent_steps": [
                trae_step("Look.", ls, tool_results=[{"call_id": "1", "result": "a.py", "error": "warning"}]),
                trae_step("Thinking aloud.", None, llm_messages=[{"role": "user", "content": "<system-reminder>"}]),
                trae_step("", done, llm_messages=refused) | {"tool_calls": None},
                {"llm_response": None, "error": "Error code: 400", "llm_messages": [{"role": "user", "content": "x"}]},
            ],
        },
        "run_summary": {"meta": {"task_id": "acme_core", "item_id": "item-1"}, "commits": {"human": "1a2b"}},
        "model_patch": "diff --git a b", "task": "Make it fast.",
    }  # fmt: skip
    (trajectory,), ledger = read(row)
    assert (trajectory.trajectory_id, trajectory.instance_id) == ("2026-01-01/item-1", "acme_core-1a2b")
    assert (trajectory.task, trajectory.repository, trajectory.resolved) == (
        "Make it fast.",
        "acme_core",
        None,
    )
    observations = ["a.py\nwarning", "<system-reminder>", "ERROR! Your Patch is empty."]
    assert [step.observation for step in trajectory.steps] == observations
    names = [[action.name for action in step.actions] for step in trajectory.steps]
    assert names == [["bash"], [], ["task_done"]]
    assert not ledger.steps.dropped
    assert ledger.notes == {"request_without_reply": 1, "no_action": 1}


def test_trae_bare_run_without_a_reply_is_dropped() -> None:
    found, ledger = read({"task": "t", "agent_steps": [{"llm_response": None, "error": "no token"}]})
    assert not found
    assert ledger.trajectories.dropped == {"no_agent_turn": 1}


# --- OpenHands, Moatless, Claude Code, our own

SDK: list[dict[str, JSON]] = [
    {"kind": "MessageEvent", "id": "m", "timestamp": "t", "source": "user",
     "llm_message": {"role": "user", "content": [{"type": "text", "text": "Go"}]}},
    {"kind": "ActionEvent", "id": "a", "timestamp": "t", "source": "agent", "thought": [], "tool_call_id": "c1",
     "llm_response_id": "r", "tool_call": openai_call("execute_bash", '{"command": "ls"}', "c1")},
    {"kind": "ObservationEvent", "id": "o", "timestamp": "t", "source": "environment", "tool_call_id": "c1"},
]  # fmt: skip


def test_openhands_v0_events() -> None:
    response = {"id": "r1", "choices": [{"message": {"content": "See.", "tool_calls": [
        openai_call("str_replace_editor", '{"command": "view", "path": "/a"}', "c1")]}}]}  # fmt: skip
    events = [
        {"id": 0, "source": "agent", "action": "system", "args": {"content": "s"}},
        {"id": 1, "source": "user", "action": "message", "args": {"content": "Go"}},
        {"id": 2, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Look.", "hidden": False}},
        {"id": 3, "cause": 2, "observation": "run", "content": "a.py", "extras": {}},
        {"id": 4, "source": "agent", "action": "read", "args": {"path": "/a", "thought": ""},
         "tool_call_metadata": {"tool_call_id": "c1", "model_response": response}},
        {"id": 5, "cause": 4, "observation": "read", "content": "1 x"},
        {"id": 6, "source": "agent", "action": "message", "args": {"content": "Done."}},
    ]  # fmt: skip
    (trajectory,), ledger = read(events)
    names = [[action.name for action in step.actions] for step in trajectory.steps]
    assert names == [["run"], ["str_replace_editor"], []]
    assert trajectory.steps[0].actions[0].arguments == {"command": "ls"}
    assert [step.thought for step in trajectory.steps] == ["Look.", "See.", "Done."]
    assert [step.observation for step in trajectory.steps] == ["a.py", "1 x", ""]
    assert ledger.notes == {"final_message": 1}
    row = {"instance_id": "acme__w-3", "history": [[events[2], events[3]]], "instruction": "Go"}
    assert one(row).task == "Go"
    instance = {"repo": "acme/w", "base_commit": "1a2b3c4", "version": "1"}
    assert one(row | {"instance": instance}).metadata == {"repo": "acme/w", "base_commit": "1a2b3c4"}


def test_openhands_shell_results_show_the_exit_code() -> None:
    suffix = "\n[The command completed with exit code 1.]"
    shell = {
        "exit_code": 1,
        "prefix": "",
        "suffix": suffix,
        "working_dir": "/w",
        "py_interpreter_path": "/py",
    }
    seen = f"a.py{suffix}\n[Current working directory: /w]\n[Python interpreter: /py]\n"
    seen += "[Command finished with exit code 1]"
    events = [
        {"id": 1, "source": "user", "action": "message", "args": {"content": "Go"}},
        {"id": 2, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Look."}},
        {"id": 3, "cause": 2, "observation": "run", "content": "a.py", "extras": {"metadata": shell}},
    ]
    assert one(events).steps[0].observation == seen
    waits = {
        "exit_code": -1,
        "suffix": "\n[The command has no new output after 30 seconds.]",
        "working_dir": None,
    }
    events[2] |= {"content": "", "extras": {"metadata": waits}}
    assert one(events).steps[0].observation == waits["suffix"]
    user, call, result = SDK
    result = result | {"observation": {"output": "a.py", "error": False, "metadata": shell}}
    assert one([user, call, result], "openhands-sdk").steps[0].observation == seen


def test_openhands_sdk_events_of_one_response_are_one_turn() -> None:
    def action(number: int) -> dict[str, JSON]:
        arguments = json.dumps({"command": f"c{number}", "security_risk": "LOW", "summary": "s"})
        return {"kind": "ActionEvent", "id": f"a{number}", "timestamp": "t", "source": "agent",
                "thought": [{"type": "text", "text": "Both."}], "action": {"kind": "T", "command": "c"},
                "tool_call_id": f"t{number}", "llm_response_id": "r",
                "tool_call": {"id": f"t{number}", "name": "terminal", "arguments": arguments}}  # fmt: skip

    def seen(number: int) -> dict[str, JSON]:
        return {"kind": "ObservationEvent", "id": f"o{number}", "timestamp": "t", "source": "environment",
                "tool_call_id": f"t{number}",
                "observation": {"content": [{"type": "text", "text": f"o{number}"}]}}  # fmt: skip

    user = {"kind": "MessageEvent", "id": "m", "timestamp": "t", "source": "user",
            "llm_message": {"role": "user", "content": [{"type": "text", "text": "Go"}]}}  # fmt: skip
    assert detect(user).name == "openhands-sdk"
    trajectory = one([user, action(1), seen(1), action(2), seen(2)], "openhands-sdk", "runs/conv-1/events")
    (step,) = trajectory.steps
    assert [call.arguments for call in step.actions] == [{"command": "c1"}, {"command": "c2"}]
    assert (step.observation, trajectory.trajectory_id) == ("o1\no2", "conv-1")
    refused = seen(1) | {"observation": {"output": "", "error": "No such file", "kind": "EditorObservation"}}
    assert one([user, action(1), refused], "openhands-sdk").steps[0].observation == "No such file"


def test_moatless_tree_gives_a_trajectory_per_leaf() -> None:
    def node(number: int, parent: int | None, command: str) -> dict[str, JSON]:
        content = [
            {"type": "text", "text": "t"},
            {"type": "tool_use", "id": "x", "name": "Find", "input": {"q": command}},
        ]
        return {"node_id": number, "parent_id": parent, "observation": {"message": f"saw {command}"},
                "completions": {"build_action": {"response": {"role": "assistant", "content": content}}}}  # fmt: skip

    root: dict[str, JSON] = {
        "node_id": 0,
        "parent_id": None,
        "message": "<task>\nIt dies.\n</task>",
        "completions": {},
    }
    first = node(1, 0, "a")
    tree = {
        "metadata": {"instance_id": "acme__w-4"},
        "nodes": [root, first, node(2, 1, "b"), node(3, 1, "c")],
    }
    found, ledger = read(tree)
    assert not ledger.notes
    assert [t.trajectory_id for t in found] == ["acme__w-4#node-2", "acme__w-4#node-3"]
    assert [step.observation for step in found[1].steps] == ["saw a", "saw c"]
    assert found[0].task == "It dies."
    repeated = first | {"observation": None, "is_duplicate": True}
    (trajectory,), ledger = read(tree | {"nodes": [root, repeated, node(2, 1, "b")]})
    assert [step.observation for step in trajectory.steps] == ["", "saw b"]
    assert ledger.notes == {"turn_without_result": 1}


def test_claude_code_prompts_of_commands_and_skills_are_user_messages() -> None:
    def line(uuid: str, parent: str | None, role: str, content: JSON, **more: JSON) -> dict[str, JSON]:
        message = {"role": role, "content": content, "id": uuid}
        return {"type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "message": message} | more

    caveat = "Caveat: The messages below were generated by the user while running local commands."
    skill = {"type": "tool_use", "id": "c1", "name": "Skill", "input": {"skill": "tidy"}}
    lines = [
        line("m0", None, "user", f"<local-command-caveat>{caveat}</local-command-caveat>", isMeta=True),
        line("c", "m0", "user", "<command-name>/clear</command-name>"),
        line("o", "c", "user", "<local-command-stdout></local-command-stdout>"),
        line("w", "o", "user", "Wait for it."),
        line(
            "e", "w", "user", "<local-command-stderr>No such file</local-command-stderr>"
        ),  # without a caveat
        line("u", "e", "user", "<command-name>/init</command-name>"),
        line("m1", "u", "user", [{"type": "text", "text": "Write down how the code is built."}], isMeta=True),
        line("a", "m1", "assistant", [skill]),
        line("r", "a", "user", [{"type": "tool_result", "tool_use_id": "c1", "content": "Launching"}]),
        line("m2", "r", "user", [{"type": "text", "text": "Remove what is not used."}], isMeta=True),
        line("b", "m2", "assistant", [{"type": "text", "text": "Done."}]),
    ]
    trajectory = one(lines, "claude-code")
    prompts = ["Wait for it.", "<command-name>/init</command-name>", "Write down how the code is built."]
    assert trajectory.task == "\n\n".join(prompts)
    assert trajectory.steps[0].observation == "Launching\nRemove what is not used."


def test_claude_code_blocks_of_a_reply_on_several_lines_forks_and_meta() -> None:
    def line(uuid: str, parent: str | None, role: str, content: JSON, **more: JSON) -> dict[str, JSON]:
        message = {"role": role, "content": content} | more.pop("message", {})
        return {"type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "cwd": "/p", "version": "2",
                "message": message} | more  # fmt: skip

    def use(call_id: str) -> list[dict[str, JSON]]:
        return [{"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": call_id}}]

    def result(call_id: str) -> list[dict[str, JSON]]:
        return [{"type": "tool_result", "tool_use_id": call_id, "content": f"saw {call_id}"}]

    reply = {"id": "m1", "model": "claude"}
    lines = [
        {"type": "summary", "summary": "x", "leafUuid": "z"},
        line("u", None, "user", "Fix it"),
        line("meta", "u", "user", "Caveat: The messages below were generated by the user", isMeta=True),
        line("r1", "a1", "user", result("one")),  # before its call
        line("a1", "meta", "assistant", use("one"), message=reply),
        line("a2", "a1", "assistant", use("two"), message=reply),
        line("r2", "a2", "user", result("two")),
        line("a3", "r2", "assistant", use("three"), message={"id": "m2", "model": "claude"}),
        line("r3", "a3", "user", result("three")),
        line("fork", "r2", "user", "No, the other way"),
        line("a4", "fork", "assistant", use("four"), message={"id": "m3", "model": "claude"}),
        line("err", "a4", "assistant", "API Error", message={"id": "m4", "model": "<synthetic>"}),
        line("null", "err", "user", "x") | {"message": None},
    ]
    assert {detect(record).name for record in lines} == {"claude-code"}
    found, ledger = read(lines, "claude-code")
    assert [len(trajectory.steps) for trajectory in found] == [2, 2]
    first = found[0].steps[0]
    assert [action.arguments["command"] for action in first.actions] == ["one", "two"]
    assert first.observation == "saw one\nsaw two"
    assert found[1].steps[0].observation == "saw one\nsaw two\nNo, the other way"
    assert (found[0].task, found[0].repository, found[0].model) == ("Fix it", "/p", "claude")
    assert ledger.notes == {"reply_not_of_the_model": 1}


def test_own_format_is_read_as_it_is() -> None:
    trajectory = Trajectory(
        trajectory_id="t", instance_id="i", task="x", source="trae", resolved=True, patch="p", metadata={"a": 1},
        steps=(Step(thought="", actions=(Action(name="bash", arguments={"command": "ls"}),), observation="\ud800"),),
    )  # fmt: skip
    assert one(json.loads(json.dumps(to_json(trajectory)))) == trajectory


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_trajectory_of_prose_has_no_step_with_an_action(name: str) -> None:
    prose = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    values: dict[str, JSON] = {
        "anthropic": prose,
        "openai": prose,
        "mini-swe-agent": prose,
        "swe-smith": {"instance_id": "a", "messages": prose},
        "swe-agent": {"history": prose, "trajectory": []},
        "trae": {"task": "t", "agent_steps": [{"llm_response": {"content": "Hello.", "tool_calls": None}}]},
    }
    if name in values:
        found, ledger = read(values[name], name)
        assert not found
        assert ledger.trajectories.dropped == {"no_step_with_action": 1}


# --- OpenAI Responses API


def responses_call(name: str, arguments: JSON, call_id: str = "c1", **more: JSON) -> dict[str, JSON]:
    call = {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "call_id": call_id}
    return call | more


def said(text: str, kind: str = "output_text") -> dict[str, JSON]:
    return {"type": "message", "role": "assistant", "content": [{"type": kind, "text": text}]}


def test_responses_items() -> None:
    items = [
        {"role": "developer", "content": "You are."},
        {"role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        said("Look."),
        responses_call("bash", {"command": "ls"}),
        responses_call("bash", {"command": "pwd"}, "c2"),
        {"type": "function_call_output", "call_id": "c2", "output": "/t"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a.py"}]},
        {"type": "reasoning", "summary": []},
        {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "c3"},
        {"type": "custom_tool_call_output", "call_id": "c3", "output": "ok"},
        {
            "type": "local_shell_call",
            "id": "i",
            "call_id": "c4",
            "action": {"type": "exec", "command": ["ls"]},
        },
        {"type": "local_shell_call_output", "call_id": "c4", "output": "a.py"},
        said("Done."),
    ]
    trajectory = one({"input": items, "model": "gpt-5", "instance_id": "acme__w-9"})
    assert (trajectory.source, trajectory.model, trajectory.task) == ("responses", "gpt-5", "Fix it.")
    assert trajectory.instance_id == "acme__w-9"
    first, patch, shell, last = trajectory.steps
    assert first == Step(
        thought="Look.",
        actions=(
            Action(name="bash", arguments={"command": "ls"}),
            Action(name="bash", arguments={"command": "pwd"}),
        ),
        observation="a.py\n/t",
    )
    assert (patch.actions, patch.observation) == (
        (Action(name="apply_patch", arguments={"input": "*** Begin"}),), "ok",
    )  # fmt: skip
    assert shell.actions == (Action(name="local_shell", arguments={"type": "exec", "command": ["ls"]}),)
    assert (last.thought, last.actions) == ("Done.", ())
    bare = one(items)
    assert (bare.steps, bare.instance_id) == (trajectory.steps, "acme__w-1")


def test_responses_request_with_its_response_and_nemo_gym_rollouts() -> None:
    request = {"input": "Fix it.", "model": "m"}
    response = {"object": "response", "output": [said("Look."), responses_call("bash", {"command": "ls"})]}
    whole = one({"request": request, "response": response})
    assert (whole.task, whole.steps[0].thought, whole.model) == ("Fix it.", "Look.", "m")
    rollout = one({"responses_create_params": request, "response": response, "reward": 1.0})
    assert rollout == replace(whole, resolved=True, metadata={"reward": 1.0})
    nothing_asked, ledger = read(response)
    assert nothing_asked == []
    assert ledger.trajectories.dropped == {"no_task": 1}


def test_responses_items_with_traps() -> None:
    items = [
        {"role": "user", "content": "Fix it."},
        responses_call("bash", "not an object"),
        {"type": "function_call_output", "call_id": "c1", "output": "bad arguments"},
        {
            "type": "web_search_call",
            "id": "ws",
            "action": {"type": "search", "query": "q"},
            "status": "completed",
        },
        {
            "type": "mcp_call",
            "id": "m1",
            "name": "get",
            "arguments": "{}",
            "output": "page",
            "server_label": "s",
        },
        {"type": "image_of_the_future", "data": "x"},
        {"type": "reasoning", "summary": []},
    ]
    (trajectory,), ledger = read({"input": items})
    (step,) = trajectory.steps
    assert [action.name for action in step.actions] == ["web_search", "get"]
    assert step.observation == "page"
    assert ledger.steps.dropped == {"arguments_not_an_object": 1}
    assert ledger.notes == {"item_not_understood": 1}


# --- NeMo Gym pivot rows of others


def test_each_foreign_pivot_row_is_a_trajectory() -> None:
    params = {
        "input": [
            {"role": "system", "content": "You are."},
            {"role": "user", "content": "Fix it."},
            responses_call("bash", {"command": "ls"}),
            {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
            said("Open it."),
        ],
        "tools": [],
    }
    call = {"type": "function_call", "name": "bash", "arguments": '{"command": "cat a.py"}'}
    trajectory = one({"responses_create_params": params, "expected_action": call, "instance_id": "i"})
    assert trajectory.source == "pivot"
    assert trajectory.steps[1] == Step(
        thought="Open it.", actions=(Action(name="bash", arguments={"command": "cat a.py"}),), observation=""
    )
    batch = one(
        {
            "responses_create_params": params,
            "expected_action": {"type": "function_call_batch", "calls": [call, call]},
        }
    )
    assert len(batch.steps[1].actions) == 2
    prose = one(
        {
            "responses_create_params": params | {"input": params["input"][:4]},
            "expected_action": {"type": "message", "content": "Done."},
        }
    )
    assert prose.steps[1] == Step(thought="Done.", actions=(), observation="")


# --- ATIF of others


def atif_call(call_id: str, **arguments: JSON) -> dict[str, JSON]:
    return {"tool_call_id": call_id, "function_name": "bash", "arguments": arguments}


def atif_document(*steps: dict[str, JSON], **fields: JSON) -> dict[str, JSON]:
    numbered = [{"step_id": number, **step} for number, step in enumerate(steps, 1)]
    agent = {"name": "openhands", "version": "1.0", "model_name": "m"}
    return {"schema_version": "ATIF-v1.7", "agent": agent, "steps": numbered, "session_id": "s"} | fields


def test_foreign_atif() -> None:
    document = atif_document(
        {"source": "system", "message": "You are."},
        {"source": "user", "message": [{"type": "text", "text": "Fix it."}]},
        {
            "source": "agent", "message": "Look.", "reasoning_content": "private",
            "tool_calls": [atif_call("a", command="ls"), atif_call("b", command="pwd")],
            "observation": {"results": [
                {"source_call_id": "b", "content": "/t"},
                {"source_call_id": "a", "content": [{"type": "text", "text": "a.py"}]},
                {"content": "warning"},
            ]},
        },
        {
            "source": "agent", "message": "Copied.", "is_copied_context": True,
            "tool_calls": [atif_call("c", command="old")],
            "observation": {"results": [{"source_call_id": "c", "content": "old"}]},
        },
        {"source": "agent", "message": "", "llm_call_count": 0, "tool_calls": [atif_call("d", command="auto")]},
        {"source": "system", "message": "", "observation": {"results": [{"content": "compacted"}]}},
        {"source": "agent", "message": "Done."},
        continued_trajectory_ref="more.json",
    )  # fmt: skip
    inner = atif_document(
        {"source": "user", "message": "Search."},
        {"source": "agent", "message": "", "tool_calls": [atif_call("a", command="grep x")]},
        trajectory_id="sub",
    )
    found, ledger = read(
        document | {"subagent_trajectories": [inner]}, origin="job/task__a1/agent/trajectory.json"
    )
    outer, sub = found
    assert (outer.trajectory_id, outer.instance_id, outer.model) == ("s", "task__a1", "m")
    assert (outer.source, outer.task, outer.metadata["agent"]) == ("atif", "Fix it.", "openhands")
    assert [(step.thought, step.target) for step in outer.steps] == [
        ("Look.", True), ("Copied.", False), ("", False), ("Done.", True),
    ]  # fmt: skip
    assert [step.observation for step in outer.steps] == ["a.py\n/t\nwarning", "old", "compacted", ""]
    assert [action.arguments["command"] for action in outer.steps[0].actions] == ["ls", "pwd"]
    assert (sub.trajectory_id, sub.task, len(sub.steps)) == ("s/sub", "Search.", 1)
    assert not ledger.steps.dropped
    assert (ledger.notes["copied_context"], ledger.notes["not_of_the_model"]) == (1, 1)
    assert ledger.notes["continued_in_another_file"] == 1


# --- What rows say of the task's commit


def test_the_base_commit_of_a_row_is_kept() -> None:
    messages: list[dict[str, JSON]] = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "tool_calls": [openai_call("ls", {})]},
    ]
    row = {"messages": messages, "instance_id": "acme__w-1", "base_commit": "1a2b3c4"}
    assert one(row, "openai").metadata["base_commit"] == "1a2b3c4"
    assert one(smith(messages, base_commit="1a2b3c4"), "swe-smith").metadata["base_commit"] == "1a2b3c4"
    assert "base_commit" not in one(row | {"base_commit": None}, "openai").metadata
