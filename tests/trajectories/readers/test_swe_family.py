"""SWE-agent, SWE-smith, mini-swe-agent, Responses items, Gym's rows, TRAE: calls, thinking, verdicts and ids."""

import json
import time

import pytest

from tests.trajectories.reading import one, read
from trajectories.conversation.events import fold
from trajectories.readers.detect import detect
from trajectories.readers.scaffolds import mini_replies, rendered_calls, submissions, swe_smith
from trajectories.readers.scaffolds.mini_swe_agent import events as mini_events
from trajectories.readers.scaffolds.swe_smith import instance_of
from trajectories.types import JSON, Action, Step, Trajectory

Message = dict[str, JSON]


def user(text: str, **fields: JSON) -> Message:
    return {"role": "user", "content": text, **fields}


def said(text: str | None, **fields: JSON) -> Message:
    return {"role": "assistant", "content": text, **fields}


def called(name: str, arguments: JSON, call_id: str = "c1") -> Message:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def xml(name: str, **parameters: str) -> str:
    lines = [f"<parameter={key}>{value}</parameter>" for key, value in parameters.items()]
    return "\n".join([f"<function={name}>", *lines, "</function>"])


def names(trajectory: Trajectory) -> list[list[str]]:
    return [[action.name for action in step.actions] for step in trajectory.steps]


def commands(trajectory: Trajectory) -> list[list[JSON]]:
    return [[action.arguments.get("command") for action in step.actions] for step in trajectory.steps]


# --- SWE-agent: the real call, not the shell line rendered from it


def swe_agent(*history: Message, **fields: JSON) -> dict[str, JSON]:
    first = [{"role": "system", "content": "s"}, user("Fix it.")]
    return {"history": [*first, *history], "trajectory": [], "info": {}, **fields}


def acted(content: str, thought: str, action: str, **fields: JSON) -> Message:
    return said(content, thought=thought, action=action, message_type="action", agent="main", **fields)


def test_the_call_in_the_content_wins_over_the_rendered_line() -> None:
    view = xml("str_replace_editor", command="view", path="/t/a b.py", view_range="[1, 20]")
    edit = xml(
        "str_replace_editor", command="str_replace", path="/t/a.py", old_str="\nx = 1\n", new_str="\nx = 2\n"
    )
    ls = xml("execute_bash", command="ls -l")
    trajectory = one(
        swe_agent(
            acted(f"Look.\n\n{view}", "Look.", "str_replace_editor view '/t/a b.py' --view_range 1 20"),
            user("OBSERVATION:\nx = 1"),
            acted(f"Edit.\n{edit}\nDone.", "Edit.\n\nDone.", "str_replace_editor str_replace /t/a.py"),
            user("OBSERVATION:\nok"),
            acted(ls, "", "ls -l"),
            user("OBSERVATION:\na.py"),
            acted(xml("finish"), "", "submit"),
        )
    )
    assert names(trajectory) == [["str_replace_editor"], ["str_replace_editor"], ["execute_bash"], ["finish"]]
    first, second, third, _ = trajectory.steps
    assert first.actions[0].arguments == {"command": "view", "path": "/t/a b.py", "view_range": "[1, 20]"}
    assert (first.thought, first.observation) == ("Look.", "x = 1")
    assert second.actions[0].arguments["new_str"] == "x = 2"
    assert second.thought == "Edit."
    assert third.actions[0].arguments == {"command": "ls -l"}


def test_only_the_first_call_of_a_reply_was_run() -> None:
    both = f"Look.\n{xml('bash', command='ls')}\nand\n{xml('bash', command='rm -r /')}"
    thought = both.replace(xml("bash", command="ls"), "", 1).strip()
    trajectory = one(swe_agent(acted(both, thought, "ls")))
    assert trajectory.steps[0].actions == (Action(name="bash", arguments={"command": "ls"}),)
    assert trajectory.steps[0].thought == "Look."


def test_text_between_parameters_is_passed_over_as_the_scaffold_did() -> None:
    odd = "Go.\n<function=bash>\nhere:\n<parameter=command>pwd</parameter>\n</function>"
    assert commands(one(swe_agent(acted(odd, "Go.", "pwd")))) == [["pwd"]]


def test_calls_that_are_cut_at_the_end_or_have_no_thought_of_their_own() -> None:
    cut = "Go.\n<function=bash>\n<parameter=command>pwd</parameter>\n"
    bare = said(xml("submit"), action="submit")
    assert names(one(swe_agent(acted(cut, "Go.", "pwd"), user("/t"), bare))) == [["bash"], ["submit"]]
    assert commands(one(swe_agent(acted(cut, "Go.", "pwd")))) == [["pwd"]]


def test_native_calls_may_be_a_text() -> None:
    calls = json.dumps([called("bash", {"command": "ls"})])
    final = said("Like this:\n\n```\nls\n```")
    rows = smith(said("Look.", tool_calls=calls), user("a.py"), final)
    assert commands(one(rows, "swe-smith")) == [["ls"], []]
    assert commands(one(row(said("Look.", tool_calls=calls), user("a.py")))) == [["ls"]]


def test_a_shell_line_that_quotes_a_call_stays_a_shell_line() -> None:
    quoted = xml("bash", command="ls")
    line = f"cat > a.txt <<'E'\n{quoted}\nE"
    trajectory = one(swe_agent(acted(f"Write it.\n```\n{line}\n```", "Write it.", line)))
    assert trajectory.steps[0] == Step(
        thought="Write it.", actions=(Action(name="bash", arguments={"command": line}),), observation=""
    )


def test_calls_of_the_json_parser() -> None:
    reply = {"thought": "Look.", "command": {"name": "open", "arguments": {"path": "a.py", "line": "3"}}}
    trajectory = one(swe_agent(acted(json.dumps(reply), "Look.", "open a.py 3")))
    assert trajectory.steps[0].actions == (Action(name="open", arguments={"path": "a.py", "line": "3"}),)
    assert trajectory.steps[0].thought == "Look."
    shell = one(swe_agent(acted('{"thought": 3}', "Look.", "ls")))
    assert commands(shell) == [["ls"]]


def test_a_call_written_twice_under_one_id_is_one_call() -> None:
    twice = acted("Look.", "Look.", "ls", tool_calls=[called("bash", {"command": "ls"})] * 2)
    answer = {"role": "tool", "content": "a.py", "tool_call_ids": ["c1"], "message_type": "observation"}
    assert commands(one(swe_agent(twice, answer))) == [["ls"]]
    copied, ledger = read(swe_agent(twice, twice, answer))
    assert commands(copied[0]) == [["ls"]]
    assert copied[0].steps[0].observation == "a.py"
    assert ledger.notes["reply_recorded_twice"] + ledger.notes["call_recorded_twice"] == 1


def test_thinking_blocks_and_tagged_thinking_are_reasoning() -> None:
    blocks = [{"type": "thinking", "thinking": "The sign is wrong.", "signature": "x"}]
    native = acted(
        "Look.", "Look.", "ls", tool_calls=[called("bash", {"command": "ls"})], thinking_blocks=blocks
    )
    tagged = f"<think>Or pwd?</think>\n\nHere.\n{xml('bash', command='pwd')}"
    cut = acted(tagged, "<think>Or pwd?</think>\n\nHere.", "pwd")
    silent = acted("", "", "ls", tool_calls=[called("bash", {"command": "ls"}, "c2")], thinking_blocks=blocks)
    sealed = acted("x", "x", "ls", thinking_blocks=[{"type": "redacted_thinking", "data": "=="}])
    (trajectory,), ledger = read(swe_agent(native, user("a"), cut, user("b"), silent, user("c"), sealed))
    found = [(step.thought, step.reasoning) for step in trajectory.steps]
    assert found == [
        ("Look.", "The sign is wrong."),
        ("Here.", "Or pwd?"),
        ("The sign is wrong.", "The sign is wrong."),
        ("x", ""),
    ]
    assert commands(trajectory)[1] == ["pwd"]
    assert ledger.notes["encrypted_reasoning"] == 1
    assert ledger.notes["reasoning_kept"] == 3


def test_a_step_that_the_history_lacks_is_counted_and_the_last_observation_kept() -> None:
    steps = [
        {"action": "", "thought": "No call.", "observation": ""},
        {"action": "ls", "thought": "x", "observation": "a"},
    ]
    (trajectory,), ledger = read(swe_agent(acted("x", "x", "ls"), trajectory=steps))
    assert [step.observation for step in trajectory.steps] == ["a"]
    assert ledger.notes["step_not_in_the_history"] == 1


def test_a_file_without_a_history_is_read_from_its_steps() -> None:
    steps = [
        {"query": [{"role": "system", "content": "s"}, user("Fix it.")], "response": "Look.\n```\nls\n```",
         "thought": "Look.", "action": "ls", "observation": "a.py"},
        {"response": "Done.", "thought": "Done.", "action": "submit", "observation": ""},
    ]  # fmt: skip
    (trajectory,), ledger = read({"history": [], "trajectory": steps, "info": None}, "swe-agent")
    assert (trajectory.task, commands(trajectory)) == ("Fix it.", [["ls"], ["submit"]])
    assert trajectory.steps[0].observation == "a.py"
    assert ledger.notes["history_missing"] == 1


# --- SWE-smith: forms, ids, the patch column

SMITH = "acme__widgets.1a2b3c4d.pr_7"
DIFF = "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


def smith(*messages: Message, **row: JSON) -> dict[str, JSON]:
    return {"traj_id": f"{SMITH}.x1y2", "instance_id": SMITH, "messages": [user("Fix it."), *messages], **row}


def test_a_fenced_block_in_prose_is_no_call_where_calls_are_native_or_xml() -> None:
    final = said("Fixed:\n\n```\nx = 2\n```")
    native = said("Look.", tool_calls=[called("bash", {"command": "ls"})])
    answer = {"role": "tool", "content": "a.py", "tool_call_id": "c1"}
    assert names(one(smith(native, answer, final))) == [["bash"], []]
    in_text = said(f"Look.\n\n{xml('bash', command='ls')}")
    rows = smith(in_text, user("OBSERVATION:\na.py"), in_text, user("OBSERVATION:\na.py"), final)
    assert names(one(rows)) == [["bash"], ["bash"], []]


def test_commands_of_ticks_rows_may_hold_fences_and_calls() -> None:
    markdown = "cat > README.md <<'E'\n```\npip install widgets\n```\nE"
    quoted = f"cat > a.txt <<'E'\n{xml('bash', command='ls')}\nE"
    replies = [
        said(f"Write it, not\n\n```py\nx\n```\n\nthis:\n\n```\n{line}\n```") for line in (markdown, quoted)
    ]
    trajectory = one(smith(replies[0], user("OBSERVATION:\nok"), replies[1]))
    assert commands(trajectory) == [[markdown], [quoted]]
    after = one(smith(said("Look.\n\n```\nls\n```\n\nThen edit.")))
    assert (commands(after), after.steps[0].thought) == ([["ls"]], "Look.\n\nThen edit.")


def test_rows_of_nebius() -> None:
    turns = [
        {"role": "system", "system_prompt": "You are.", "text": None, "mask": False},
        {
            "role": "user",
            "text": "Here's the issue text:\nISSUE:\nIt hangs.\n\nINSTRUCTIONS:\nNow.",
            "mask": False,
        },
        {"role": "ai", "text": "Look.\n```\nopen a.py 3\n```", "mask": True},
        {"role": "user", "text": "[File: a.py]", "mask": False},
        {"role": "ai", "text": "Done.\n```\nsubmit\n```\n", "mask": True},
    ]
    row = {"instance_id": "acme__widgets-366_17", "model_name": "m", "target": True, "trajectory": turns,
           "generated_patch": DIFF}  # fmt: skip
    assert detect(row).name == "swe-smith"
    trajectory = one(row)
    assert commands(trajectory) == [["open a.py 3"], ["submit"]]
    assert trajectory.steps[0] == Step(
        thought="Look.",
        actions=(Action(name="bash", arguments={"command": "open a.py 3"}),),
        observation="[File: a.py]",
    )
    assert (trajectory.instance_id, trajectory.trajectory_id) == ("acme__widgets-366", "acme__widgets-366_17")
    assert (trajectory.repository, trajectory.resolved, trajectory.patch) == ("acme/widgets", True, DIFF)
    assert (trajectory.task, trajectory.model) == ("It hangs.", "m")


def test_ids_and_facts_of_rows() -> None:
    reply = said(xml("bash", command="ls"))
    bare = smith(reply, resolved=-1, reward=0.5, repo="swesmith/acme__widgets.1a2b3c4d", model_name="m")
    trajectory = one({key: value for key, value in bare.items() if key != "instance_id"})
    assert (trajectory.trajectory_id, trajectory.instance_id) == (f"{SMITH}.x1y2", SMITH)
    assert (trajectory.repository, trajectory.resolved, trajectory.model) == ("acme/widgets", None, "m")
    assert trajectory.metadata["reward"] == 0.5
    judged = one(smith(reply, resolved=1, metadata={"teacher_model": "t"}, problem_statement=" Fix it. "))
    assert (judged.resolved, judged.model, judged.task) == (True, "t", "Fix it.")
    assert instance_of("acme__widgets-366") is None


def submit_with(*shown: str) -> list[Message]:
    review = [f"OBSERVATION:\nReview.\n<diff>\n{diff}</diff>" for diff in shown]
    found: list[Message] = []
    for text in review:
        found += [said(f"Done.\n\n{xml('submit')}"), user(text)]
    return found or [said(f"Done.\n\n{xml('submit')}")]


EDIT = said(
    xml("str_replace_editor", command="str_replace", path="/testbed/src/a.py", old_str="1", new_str="2")
)


@pytest.mark.parametrize(
    ("messages", "column", "patch", "note"),
    [
        (submit_with(DIFF), DIFF.rstrip("\n"), DIFF, "patch_column_equals_the_run"),
        (submit_with("diff --git a/old b/old\n", DIFF), DIFF, DIFF, "patch_column_equals_the_run"),
        (submit_with(DIFF), DIFF.replace("2", "3"), DIFF, "patch_column_differs"),
        ([EDIT, user("ok"), *submit_with()], DIFF, DIFF, "patch_column_used"),
        (submit_with(), DIFF, None, "patch_column_not_trusted"),
        ([EDIT, user("ok")], DIFF.replace("src/a", "lib/b"), None, "patch_column_not_trusted"),
        (submit_with(DIFF), "", DIFF, None),
    ],
)
def test_the_patch_column_is_compared_with_the_run(
    messages: list[Message], column: str, patch: str | None, note: str | None
) -> None:
    (trajectory,), ledger = read(smith(*messages, patch=column))
    assert trajectory.patch == patch
    assert [what for what in ledger.notes if what.startswith("patch_column")] == ([note] if note else [])


def test_messages_that_are_odd_are_counted() -> None:
    odd = [7, None, {"role": "narrator", "content": "x"}, {"role": "user", "content": {"a": 1}}]
    (trajectory,), ledger = read(smith(said(xml("bash", command="ls")), *odd))  # type: ignore[arg-type]
    assert trajectory.steps[0].observation == '{"a": 1}'
    assert ledger.notes["message_not_understood"] == 2
    assert ledger.notes["message_of_unknown_role"] == 1


# --- mini-swe-agent: what the scaffold refused was not executed

FENCE = "mswea_bash_command"
ASK = user(f"Please solve this issue: It dies.\n\nWrite one ```{FENCE}``` block.")


def block(command: str, fence: str = FENCE) -> str:
    return f"```{fence}\n{command}\n```"


def row(*messages: Message, **fields: JSON) -> dict[str, JSON]:
    return {"instance_id": SMITH, "messages": [ASK, *messages], **fields}


def complaint(text: str = "EXACTLY ONE action", **extra: JSON) -> Message:
    return user(text, extra={"interrupt_type": "FormatError", **extra})


@pytest.mark.parametrize(
    "ids", [{}, {"traj_id": f"{SMITH}.x1y2"}, {"instance_id": "acme__widgets-1", "resolved": 1}]
)
def test_rows_with_ids_are_read_by_the_rules_of_the_scaffold(ids: dict[str, JSON]) -> None:
    document = row(
        said(f"Look.\n\n{block('ls')}"),
        user("a.py"),
        said(f"Two.\n\n{block('rm a.py')}\n{block('rm b.py')}"),
        user("EXACTLY ONE action"),
        said(f"Shell.\n\n{block('rm c.py', 'bash')}"),
        user("EXACTLY ONE action"),
        **ids,
    )
    assert detect(document).name == "mini-swe-agent"
    trajectory = one(document)
    assert commands(trajectory) == [["ls"], [], []]
    assert [step.observation for step in trajectory.steps] == ["a.py", *["EXACTLY ONE action"] * 2]


def test_rows_are_recognised_by_their_fields_alone() -> None:
    ask = user("Fix it.")
    reply = said(block("ls"))
    exits = {"role": "exit", "content": "LimitsExceeded"}
    assert detect({"instance_id": SMITH, "messages": [ask, reply, exits]}).name == "mini-swe-agent"
    response = {"object": "response", "output": [], "extra": {"actions": []}}
    assert detect({"instance_id": SMITH, "messages": [ask, response]}).name == "mini-swe-agent"
    assert (
        detect([ask, response, {"type": "function_call_output", "extra": {"raw_output": ""}}]).name
        == "mini-swe-agent"
    )
    quoting = {
        "role": "system",
        "content": "Call <function=bash>. The issue: COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
    }
    assert detect({"messages": [quoting, said(xml("bash", command="ls"))]}).name == "openai"
    blocks = [{"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]
    assert (
        detect({"instance_id": SMITH, "messages": [ask, {"role": "assistant", "content": blocks}]}).name
        == "anthropic"
    )


@pytest.mark.parametrize(
    ("prompt", "reply", "expected"),
    [
        ("Answer in ```bash blocks.", block("ls", "bash"), ["ls"]),
        ("Answer in ```bash blocks.", block("ls"), []),
        ("Answer in <mswea_bash_command>.", "Look. <mswea_bash_command>\nls\n</mswea_bash_command>", ["ls"]),
        ("Answer in <bash_code>.", "<bash_code>ls</bash_code>", ["ls"]),
        ("Answer in <bash_code>.", "<bash_code>ls</bash_code><bash_code>pwd</bash_code>", []),
        ("", block("echo '```'"), ["echo '```'"]),
    ],
)
def test_only_blocks_of_the_configuration_are_commands(prompt: str, reply: str, expected: list[str]) -> None:
    steps = fold(mini_events([user(f"Fix it. {prompt}"), said(reply)])).steps
    found = [action.arguments["command"] for step in steps for action in step.actions]
    assert found == expected


def test_the_pattern_of_the_configuration_wins() -> None:
    config = {"agent": {"action_regex": "<bash_code>(.*?)</bash_code>"}}
    reply = said(f"Not {block('rm a')}\n<bash_code>ls</bash_code>")
    document = {"info": {"config": config, "mini_version": "1.17"}, "messages": [ASK, reply]}
    assert commands(one(document)) == [["ls"]]


CHAT = {
    "choices": [{"message": {"role": "assistant", "content": "Two.", "reasoning_content": "Why not both?"}}]
}
BAD_JSON = called("bash", '{"command": ')
UNKNOWN = called("python", {"code": "1"})
WITH_CALLS = {
    "choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [BAD_JSON, UNKNOWN]}}]
}
RESPONSE = {
    "object": "response",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "name": "python", "arguments": '{"code": "1"}', "call_id": "c"},
    ],
}


@pytest.mark.parametrize(
    ("extra", "thought", "reasoning"),
    [
        ({"model_response": "Two.\n" + block("a") + "\n" + block("b"), "n_actions": 2},
         "Two.\n" + block("a") + "\n" + block("b"), ""),
        ({"model_response": "Two.", "response": CHAT}, "Two.", "Why not both?"),
        ({"response": CHAT}, "Two.", "Why not both?"),
        ({"response": WITH_CALLS}, 'bash({"command": )\npython({"code": "1"})', ""),
        ({"response": RESPONSE}, 'python({"code": "1"})', "Hm."),
        ({"model_response": "Two.", "response": "<think>Maybe.</think>Two."}, "Two.", "Maybe."),
        ({"model_response": "Two.", "response": "ModelResponse(id='x')"}, "Two.", ""),
    ],
)  # fmt: skip
def test_a_reply_that_only_the_complaint_holds_is_a_refused_turn(
    extra: dict[str, JSON], thought: str, reasoning: str
) -> None:
    (trajectory,), ledger = read(
        row(said(block("ls")), user("a.py"), complaint("One, please.", **extra), complaint("One!", **extra),
            said(block("pwd")), user("/t"))
    )  # fmt: skip
    assert commands(trajectory) == [["ls"], [], [], ["pwd"]]
    assert [step.observation for step in trajectory.steps] == ["a.py", "One, please.", "One!", "/t"]
    refused = trajectory.steps[1]
    assert (refused.thought, refused.reasoning) == (thought, reasoning)
    assert not ledger.steps.dropped
    assert ledger.notes["refused_reply_not_recorded"] == 0


def test_a_complaint_without_its_reply_is_noted() -> None:
    (trajectory,), ledger = read(row(said(block("ls")), user("a.py"), complaint("No tool calls found.")))
    assert [step.observation for step in trajectory.steps] == ["a.py\nNo tool calls found."]
    assert ledger.notes["refused_reply_not_recorded"] == 1


def test_a_refused_first_reply_is_no_part_of_the_prompt() -> None:
    (trajectory,), _ = read(row(complaint(model_response="Hm."), said(block("ls")), user("a.py")))
    assert (
        trajectory.task == ASK["content"].removeprefix("Please solve this issue: ")
        or "Hm." not in trajectory.task
    )
    assert [step.thought for step in trajectory.steps] == ["Hm.", ""]
    assert trajectory.steps[0].observation == "EXACTLY ONE action"


@pytest.mark.parametrize(
    "calls", [[called("python", {"code": "1"})], [called("bash", {"command": "rm -r /"})] * 2]
)
def test_native_calls_before_a_complaint_were_not_executed(calls: list[JSON]) -> None:
    (trajectory,), _ = read(
        row(
            said("Go.", tool_calls=calls), complaint("Unknown tool."),
            said(None, tool_calls=[called("bash", {"command": "ls"})]),
            {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        )
    )  # fmt: skip
    assert commands(trajectory) == [[], ["ls"]]
    assert trajectory.steps[0].thought.startswith("Go.\n")
    assert trajectory.steps[0].observation == "Unknown tool."


def test_reasoning_of_replies() -> None:
    thinking = "<think>Not " + block("rm a") + "</think>\nLook.\n"
    chat = {
        "choices": [
            {"message": {"content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "Deep."}]}}
        ]
    }
    (trajectory,), ledger = read(
        row(
            said(thinking + block("ls")), user("a"),
            said(block("pwd"), reasoning_content="Where am I?"), user("b"),
            said(block("cat a"), extra={"actions": [{"command": "cat a"}], "response": chat}), user("c"),
            said(block("echo '<think>x</think>'")), user("d"),
        )
    )  # fmt: skip
    assert commands(trajectory) == [["ls"], ["pwd"], ["cat a"], ["echo '<think>x</think>'"]]
    found = [(step.thought, step.reasoning) for step in trajectory.steps]
    assert found[0] == ("Look.", "Not " + block("rm a"))
    assert found[1:] == [("Where am I?", "Where am I?"), ("Deep.", "Deep."), ("", "")]
    assert ledger.notes["reasoning_kept"] == 3


def test_facts_of_rows_and_runs() -> None:
    reply, seen = said(block("ls")), user("a.py")
    judged = one(row(reply, seen, rewards={"reward": 0.0}, model_patch=DIFF, metadata={"model": "m"}))
    assert (judged.resolved, judged.patch, judged.model) == (False, DIFF, "m")
    assert (judged.instance_id, judged.repository) == (SMITH, "acme/widgets")
    column = json.dumps([ASK, reply, seen])
    assert one({"trajectory": column, "instance_id": "acme__widgets-12_3"}).instance_id == "acme__widgets-12"
    broken = {"trajectory_format": "mini-swe-agent-1.1", "info": None, "messages": [ASK, reply, 7]}
    (trajectory,), ledger = read(broken)
    assert (commands(trajectory), ledger.notes["message_not_understood"]) == ([["ls"]], 1)


# --- Responses API, NeMo Gym


def function(name: str, arguments: JSON, call_id: str = "c1") -> Message:
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments), "call_id": call_id}


def output(text: JSON, call_id: str = "c1") -> Message:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def test_reasoning_items_are_kept_and_sealed_ones_counted() -> None:
    items = [
        user("Fix it."),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look first."}], "encrypted_content": "x"},
        function("bash", {"command": "ls"}), output("a.py"),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "In short."}],
         "content": [{"type": "reasoning_text", "text": "In full."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Now."}]},
        function("bash", {"command": "pwd"}, "c2"), output("/t", "c2"),
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        function("bash", {"command": "id"}, "c3"), output("me", "c3"),
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Cut"}]},
    ]  # fmt: skip
    (trajectory,), ledger = read({"input": items})
    found = [(step.thought, step.reasoning) for step in trajectory.steps]
    assert found == [("Look first.", "Look first."), ("Now.", "In short.\nIn full."), ("", "")]
    assert ledger.notes == {"reasoning_kept": 2, "encrypted_reasoning": 1, "reasoning_without_reply": 1}


@pytest.mark.parametrize("where", ["instance_dict", "metadata", "row"])
def test_the_task_of_a_gym_rollout_may_stand_beside_its_items(where: str) -> None:
    task = {"instance_id": "acme__widgets-1", "problem_statement": "It dies.", "repo": "acme/widgets"}
    given: dict[str, JSON] = {"metadata": {}}
    if where == "instance_dict":
        given = {"metadata": {"instance_dict": json.dumps({**task, "patch": "the answer"})}}
    elif where == "metadata":
        given = {"metadata": task}
    document = {
        "responses_create_params": {"input": [], "model": "m", **given},
        "response": {"object": "response", "output": [function("bash", {"command": "ls"}), output("a.py")]},
        "reward": 0.0, "model_patch": DIFF, **({"metadata": task} if where == "row" else {}),
    }  # fmt: skip
    trajectory = one(document)
    assert (trajectory.task, trajectory.instance_id, trajectory.trajectory_id) == (
        "It dies.", "acme__widgets-1", "acme__widgets-1",
    )  # fmt: skip
    assert (trajectory.resolved, trajectory.patch, trajectory.model) == (False, DIFF, "m")
    assert trajectory.metadata == {"repo": "acme/widgets", "reward": 0.0}


def test_results_of_hosted_tools_and_chat_messages_among_the_items() -> None:
    items = [
        user("Count."),
        {"type": "code_interpreter_call", "id": "i1", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
        {"type": "web_search_call", "id": "w1",
         "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}]}},
        {"type": "file_search_call", "id": "f1", "queries": ["q"], "results": [{"filename": "a", "text": "found"}]},
        {"role": "assistant", "content": "Look.", "tool_calls": [called("bash", {"command": "ls"})]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
    ]  # fmt: skip
    (trajectory,), ledger = read({"input": items})
    (step,) = trajectory.steps
    assert [action.name for action in step.actions] == [
        "code_interpreter",
        "web_search",
        "file_search",
        "bash",
    ]
    assert step.observation == "2\nhttps://a.example\nfound\na.py"
    assert step.actions[1].arguments == {"type": "search", "query": "q"}
    assert (step.thought, ledger.notes) == ("Look.", {})


def test_items_that_are_odd_are_counted() -> None:
    items = [
        user("Go"),
        7,
        {"type": "mystery"},
        {"role": "narrator", "content": "x"},
        function("bash", {"command": "ls"}),
    ]
    (trajectory,), ledger = read({"input": items})
    assert commands(trajectory) == [["ls"]]
    assert ledger.notes == {"item_not_understood": 3}


@pytest.mark.parametrize(
    "action",
    [
        {"name": "zoom", "arguments": {"box": [1, 2]}},
        {"type": "function_call", "name": "zoom", "arguments": '{"box": [1, 2]}'},
        {"calls": [{"name": "zoom", "arguments": {"box": [1, 2]}}]},
    ],
)
def test_expected_actions_without_a_type(action: dict[str, JSON]) -> None:
    params = {"input": [{"role": "user", "type": "message", "content": "Zoom in"}]}
    trajectory = one({"responses_create_params": params, "expected_action": action, "resolved": 1})
    assert (trajectory.task, trajectory.resolved) == ("Zoom in", True)
    assert trajectory.steps[0].actions == (Action(name="zoom", arguments={"box": [1, 2]}),)


def test_trae_rows_with_verdict_reasoning_and_odd_parts() -> None:
    call = {"call_id": "1", "name": "bash", "arguments": {"command": "ls"}}
    reply = {"content": "<think>Hm.</think>Look.", "tool_calls": [call, call]}
    step = {"llm_response": reply, "tool_results": [{"call_id": "1", "result": 7, "error": None}, "x"]}
    document = {"task": "Fix it.", "agent_steps": [step, None], "resolved": 1, "model_name": "m", "output_patch": DIFF,
                "instance_id": "acme__widgets-4_2"}  # fmt: skip
    (trajectory,), ledger = read(document)
    (found,) = trajectory.steps
    assert (found.thought, found.reasoning, found.observation) == ("Look.", "Hm.", "7")
    assert (trajectory.resolved, trajectory.model, trajectory.patch) == (True, "m", DIFF)
    assert (trajectory.instance_id, commands(trajectory)) == ("acme__widgets-4", [["ls"]])
    assert ledger.notes["request_without_reply"] == 1


@pytest.mark.parametrize(
    "piece",
    [
        "<function=a>\n",
        "<parameter=a>",
        "```bash\n",
        "x```bash\n",
        "<diff>\n",
        "```\n",
        "<think>",
        "\n\n```\n",
    ],
)
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (40_000 // len(piece))
    started = time.process_time()
    rendered_calls.real_call(text, text, text)
    submissions.submitted_diff([Step(thought="", actions=(Action(name="submit"),), observation=text)])
    swe_smith.reply_of(said(text), "ticks")
    mini_replies.reply_of(said(text), {"response": text})
    assert time.process_time() - started < 1
