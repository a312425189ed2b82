"""Chats as people have them: OpenAI's, Anthropic's and the AI SDK's messages, ShareGPT, ADP, R2E-Gym."""

import json

import pytest

from tests.trajectories.reading import one, read
from trajectories.conversation.events import issue_text
from trajectories.conversation.reasoning import split_thinking
from trajectories.readers.chat.messages import xml_reply
from trajectories.readers.chat.text_calls import text_reply
from trajectories.readers.detect import detect
from trajectories.types import JSON, Action, Trajectory

USER = {"role": "user", "content": "Fix a.py"}
LS = Action(name="bash", arguments={"command": "ls"})
XML_LS = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"
HERMES_LS = '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>'


def said(content: JSON, **more: JSON) -> dict[str, JSON]:
    return {"role": "assistant", "content": content, **more}


def called(call_id: str = "c1", command: str = "ls") -> dict[str, JSON]:
    function = {"name": "bash", "arguments": json.dumps({"command": command})}
    return {"id": call_id, "type": "function", "function": function}


def result(text: str = "a.py", call_id: str = "c1") -> dict[str, JSON]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def names(trajectory: Trajectory) -> list[list[str]]:
    return [[action.name for action in step.actions] for step in trajectory.steps]


# --- A chat of XML calls stays one, whatever its replies quote


def test_fenced_blocks_beside_xml_calls_are_prose() -> None:
    prose = "It reads:\n\n```bash\nrm -r build\n```\n\n"
    rows: list[JSON] = [
        {"messages": [USER, said(prose + XML_LS), {"role": "user", "content": "a.py"}]},
        {"instance_id": "acme__w-1", "messages": [USER, said(XML_LS), USER, said("```\nls\n```\n" + XML_LS)]},
        [{"role": "system", "content": "Call tools."}, USER, said(XML_LS), USER, said("```py\nx\n```")],
    ]
    for row in rows:
        trajectory = one(row)
        assert trajectory.source == "openai"
        assert trajectory.steps[0].actions == (LS,)
    assert one(rows[0]).steps[0].thought == prose.strip()
    assert names(one(rows[1])) == [["bash"], ["bash"]]
    assert names(one(rows[2])) == [["bash"], []]


def test_a_chat_of_fenced_blocks_alone_says_which_formats_may_be_meant() -> None:
    found, ledger = read([USER, said("Look.\n\n```bash\nls\n```"), USER, said("Done.")])
    assert found == []
    assert ledger.notes["only_fenced_blocks"] == 1
    (position,) = ledger.examples("trajectories")["no_step_with_action"]
    assert position.endswith("--format mini-swe-agent or --format swe-smith may be meant")
    _, ledger = read([USER, said("Nothing to do.")])
    assert ledger.notes == {"final_message": 1}


# --- Calls that were made, each once


def test_a_call_listed_twice_under_one_id_is_one_call() -> None:
    twice = said("Look.", tool_calls=[called(), called()])
    assert names(one([USER, twice, result()])) == [["bash"]]
    block = {"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}}
    answer = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}]}
    assert names(one([USER, said([block, block]), answer])) == [["bash"]]


def test_a_reply_that_a_log_repeats_is_one_turn() -> None:
    reply = said("Look.", tool_calls=[called()])
    grown = said("Look.", tool_calls=[called(), called("c2", "pwd")])
    (trajectory,), ledger = read([USER, reply, reply, result(), result(), said("Done."), said("Done.")])
    assert names(trajectory) == [["bash"], []]
    assert trajectory.steps[0].observation == "a.py"
    assert ledger.notes == {
        "call_recorded_twice": 1, "result_recorded_twice": 1, "reply_recorded_twice": 1, "final_message": 1,
    }  # fmt: skip
    both = one([USER, reply, grown, result(), result("/w", "c2")])
    assert [[action.arguments["command"] for action in step.actions] for step in both.steps] == [
        ["ls"],
        ["pwd"],
    ]


def test_ids_that_are_counted_anew_do_not_hide_calls() -> None:
    same = [said("Look.", tool_calls=[called("call_0")]), result("a.py", "call_0")]
    assert names(one([USER, *same, *same])) == [["bash"], ["bash"]]
    two = said("", tool_calls=[called("call_0"), called("call_0", "pwd")])
    assert names(one([USER, two, result("a.py", "call_0")])) == [["bash", "bash"]]


def test_thinking_text_and_call_that_a_program_wrote_as_messages_of_their_own() -> None:
    messages = [
        USER, said("", reasoning_content="I should list."), said("Look."),
        said("", function_call={"name": "bash", "arguments": '{"command": "ls"}'}),
        {"role": "function", "name": "bash", "content": "a.py"},
        said("Again."), said("Now.", tool_calls=[called()]), result(),
    ]  # fmt: skip
    first, again, now = one(messages).steps
    assert (first.thought, first.reasoning, first.actions, first.observation) == (
        "Look.", "I should list.", (LS,), "a.py",
    )  # fmt: skip
    assert (again.thought, again.actions, now.thought) == ("Again.", (), "Now.")  # two replies of a model


def test_parallel_calls_of_the_older_kind_are_messages_of_their_own() -> None:
    def older(command: str, number: str) -> dict[str, JSON]:
        call = {"name": "bash", "arguments": json.dumps({"command": command})}
        return said([], function_call=call, extra={"function_id": number})

    def answer(text: str, number: str) -> dict[str, JSON]:
        return {"role": "function", "name": "bash", "content": text, "extra": {"function_id": number}}

    turn = [said("Look."), older("ls", "1"), older("pwd", "2"), answer("/w", "2"), answer("a.py", "1")]
    first, second = one([USER, *turn, older("ls", "1"), answer("b.py", "1")]).steps
    assert (first.thought, first.observation) == ("Look.", "a.py\n/w")
    assert [action.arguments["command"] for action in first.actions] == ["ls", "pwd"]
    assert (second.actions, second.observation) == ((LS,), "b.py")


PARAMETER = "<parameter=command>ls</parameter>"


@pytest.mark.parametrize(
    "end", ["\n", "", "\n</", "\n</func", "\n</function", "\n</tool_call>", "\n</function>\n</tool_call>"]
)
def test_an_unclosed_call_at_the_end_is_the_call(end: str) -> None:
    reply = xml_reply(f"Look.\n\n<function=bash>\n{PARAMETER}{end}")
    assert ([call.action for call in reply.calls], reply.thought.strip()) == ([LS], "Look.")


@pytest.mark.parametrize("tail", ["", "\n</", "\n</function"])
def test_an_unclosed_call_that_ends_a_run_needs_no_parameter(tail: str) -> None:
    assert xml_reply(f"<function=submit>{tail}").calls[0].action == Action(name="submit")


@pytest.mark.parametrize(
    "text",
    [
        "<function=bash>",
        "<function=bash>\n<parameter=command>ls",
        "<function=bash>\n<parameter=command>ls</parameter",
        f"<function=bash>\n{PARAMETER}\nand then I wait",
        f"<function=bash>\n{PARAMETER}\n<function=bash>\n{PARAMETER}\n</function>",
        f"{XML_LS}\n<function=bash>\n{PARAMETER}\n",
        "<function=bash>\n<parameter=command</function>",
    ],
)
def test_a_truncated_call_is_unparsable(text: str) -> None:
    reply = xml_reply(text)
    assert (reply.calls, reply.problem) == ((), "unparsable_call")


def test_a_parameter_with_its_value_in_the_tag_is_mended() -> None:
    text = "<function=edit>\n<parameter=command=view</parameter>\n<parameter=path>/w/a.py</parameter>\n</function>"
    assert xml_reply(text).calls[0].action.arguments == {"command": "view", "path": "/w/a.py"}


def test_text_after_calls_is_counted() -> None:
    (trajectory,), ledger = read([USER, said(XML_LS + "\nI wait for it."), USER])
    assert names(trajectory) == [["bash"]]
    assert ledger.notes == {"text_after_calls": 1}


# --- Tools that Anthropic's servers run

ERROR = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
PAGE = {
    "type": "document",
    "title": "T",
    "source": {"type": "text", "media_type": "text/plain", "data": "PAGE"},
}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"type": "code_execution_result", "stdout": "42\n", "stderr": "", "return_code": 0, "content": []}, "42"),
        (
            {"type": "bash_code_execution_result", "stdout": "", "stderr": "no such file\n", "return_code": 1},
            "no such file\nreturn_code: 1",
        ),
        (
            {"type": "bash_code_execution_result", "stdout": "ok", "stderr": "", "return_code": 0,
             "content": [{"type": "bash_code_execution_output", "file_id": "file_1"}]},
            "ok\nfile_id: file_1",
        ),
        (
            {"type": "text_editor_code_execution_view_result", "content": "x = 1\n", "file_type": "text"},
            "x = 1",
        ),
        ({"type": "text_editor_code_execution_create_result", "is_file_update": False}, "is_file_update: False"),
        (
            {"type": "text_editor_code_execution_str_replace_result", "lines": ["-x", "+y"], "old_start": 1},
            "-x\n+y\nold_start: 1",
        ),
        (
            {"type": "text_editor_code_execution_tool_result_error", "error_code": "file_not_found",
             "error_message": "No a.py"},
            "error_code: file_not_found\nerror_message: No a.py",
        ),
        (
            [{"type": "web_search_result", "title": "T", "url": "https://a.example", "encrypted_content": "x",
              "page_age": None}],
            "title: T\nurl: https://a.example",
        ),
        (ERROR, "error_code: max_uses_exceeded"),
        ({"type": "web_fetch_result", "url": "https://a.example", "content": PAGE},
         "url: https://a.example\ntitle: T\nPAGE"),
        ({"type": "web_fetch_result", "url": "https://a.example", "content": PDF},
         "url: https://a.example\n[application/pdf]"),
        ({"type": "advisor_result", "text": "Use a lock.", "stop_reason": None}, "Use a lock."),
        ({"type": "advisor_redacted_result", "encrypted_content": "x"}, "[advisor_redacted_result]"),
        ([{"type": "text", "text": "from MCP"}], "from MCP"),
        ({"type": "tool_search_tool_search_result",
          "tool_references": [{"type": "tool_reference", "tool_name": "grep"}]}, "tool_name: grep"),
    ],
)  # fmt: skip
def test_results_of_server_tools_are_observations(content: JSON, text: str) -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "some_tool", "input": {"q": "x"}}
    answer = {"type": "some_tool_result", "tool_use_id": "s1", "content": content}
    (step,) = one([USER, said([use, answer])]).steps
    assert (step.actions, step.observation) == ((Action(name="some_tool", arguments={"q": "x"}),), text)


def test_the_answer_after_a_server_tool_is_counted() -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}
    answer = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": ERROR}
    (trajectory,), ledger = read([USER, said([use, answer, {"type": "text", "text": "Nothing found."}])])
    assert names(trajectory) == [["web_search"]]
    assert ledger.notes == {"text_after_calls": 1}


# --- Whose task it is

EXAMPLE = (
    "Here's a running example of how to perform a task with the provided tools.\n\n"
    "--------------------- START OF EXAMPLE ---------------------\n\nUSER: Make a list.\n\n"
    "--------------------- END OF EXAMPLE ---------------------\n\n"
    "Do NOT assume the environment is the same as in the example above.\n\n"
    "--------------------- NEW TASK DESCRIPTION ---------------------\n{task}\n"
    "--------------------- END OF NEW TASK DESCRIPTION ---------------------\n\nPLEASE follow the format strictly!"
)
QUOTE = "Why does it say this?\n--------------------- NEW TASK DESCRIPTION ---------------------\nx"
TERMINUS = (
    "You are an AI assistant tasked with solving command-line tasks in a Linux environment.\n\n"
    "Task Description:\nFix a.py\n\nCurrent terminal state:\nroot@w:/#"
)


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        (EXAMPLE.format(task="Fix a.py"), "Fix a.py"),
        (EXAMPLE.format(task="<issue_description>\nIt hangs.\n</issue_description>\nFix it."), "It hangs."),
        (EXAMPLE.partition("\n--------------------- END OF NEW")[0].format(task="Fix a.py"), "Fix a.py"),
        (QUOTE, QUOTE),
        ("<github_issue>\nIt hangs.\n</github_issue>\nFix the <github_issue>.", "It hangs."),
        ("<pr_description>\nSay <pr_description>\n </pr_description>\nDo.", "Say <pr_description>"),
        ("<pr_description>inline</pr_description>", "<pr_description>inline</pr_description>"),
        ("<task>\nFix a.py\n</task>\n", "Fix a.py"),
        (TERMINUS, "Fix a.py"),
    ],
)  # fmt: skip
def test_the_task_inside_a_scaffolds_prompt(prompt: str, task: str) -> None:
    assert issue_text(prompt) == task
    trajectory = one([{"role": "user", "content": prompt}, said(XML_LS)])
    assert trajectory.task == task
    assert trajectory.metadata.get("prompt", prompt) == prompt


# --- Reasoning


@pytest.mark.parametrize(
    "message",
    [
        said("Look.", reasoning_content="Why."),
        said("Look.", reasoning="Why."),
        said("Look.", reasoning={"content": "Why.", "effort": "high"}),
        said("Look.", reasoning=[{"summary": [{"type": "summary_text", "text": "Why."}]}]),
        said("Look.", reasoning="Why.", reasoning_details=[{"type": "reasoning.text", "text": "Why."}]),
        said("Look.", reasoning_details=[{"type": "reasoning.summary", "summary": "Why."},
                                         {"type": "reasoning.encrypted", "data": "x"}]),
        said("Look.", thinking_blocks=[{"type": "thinking", "thinking": "Why.", "signature": "s"}]),
        said("Look.", thinking="Why."),
        said("Look.", provider_specific_fields={"reasoning_content": "Why."}),
        said([{"type": "thinking", "thinking": "Why.", "signature": "s"}, {"type": "text", "text": "Look."}]),
        said("<think>\nWhy.\n</think>\n\nLook."),
        said("<think>\nWhy.\n</think>\n\nLook.", reasoning_content="Why."),
        said("<thinking>Why.</thinking>Look."),
        said("Why.\n</think>\n\nLook."),
        said("[THINK]Why.[/THINK]Look."),
        said("<seed:think>Why.</seed:think>Look."),
        said("Look. <think>Why.</think>"),
    ],
)  # fmt: skip
def test_reasoning_is_kept_beside_the_visible_text(message: dict[str, JSON]) -> None:
    (trajectory,), ledger = read([USER, {**message, "tool_calls": [called()]}, result(), message], "openai")
    assert names(trajectory) == [["bash"], []]
    assert {(step.thought, step.reasoning) for step in trajectory.steps} == {("Look.", "Why.")}
    assert ledger.notes["reasoning_kept"] == 2


def test_reasoning_without_visible_text_is_the_thought() -> None:
    body = {"reasoning_content": "Why.", "tool_calls": [called()]}
    for content in ("", None, "<think>Why.</think>", "<think>Why."):
        step = one([USER, said(content, **body), result()]).steps[0]
        assert (step.thought, step.reasoning) == ("Why.", "Why.")
    redacted = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "tool_use", "id": "t", "name": "bash", "input": {"command": "ls"}},
    ]
    (trajectory,), ledger = read([USER, said(redacted)])
    assert (trajectory.steps[0].thought, ledger.notes) == ("", {"encrypted_reasoning": 1})


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("Plain.", ("", "Plain.")),
        ("<think>a</think><think>b</think>c", ("a\nb", "c")),
        ("<think>a <think> b</think>c", ("a <think> b", "c")),
        ("<think>a", ("a", "")),
        ("</think>\n\nc", ("", "\n\nc")),
        ("Drop `</think>` in the parser.", ("", "Drop `</think>` in the parser.")),
        ("Drop </think> in the parser.", ("", "Drop </think> in the parser.")),
        ("Text, then <think> is a tag.", ("", "Text, then <think> is a tag.")),
        (f"<think>a\n{XML_LS}", ("a", XML_LS)),
        (f"a</think>{XML_LS}", ("a", XML_LS)),
        (
            XML_LS.replace("ls", "echo '<think>x</think>'"),
            ("", XML_LS.replace("ls", "echo '<think>x</think>'")),
        ),
    ],
)
def test_tags_of_thinking(text: str, split: tuple[str, str]) -> None:
    assert split_thinking(text) == split


# --- Replies that a log holds beside its messages

REPLY = said("Look.", tool_calls=[called()])
CHOICES = {"id": "x", "object": "chat.completion", "model": "m", "choices": [{"message": REPLY}]}
CHUNKS = [
    {"choices": [{"delta": {"role": "assistant", "content": "Lo", "reasoning_content": "Wh"}}]},
    {"choices": [{"delta": {"content": "ok.", "reasoning_content": "y."}}]},
    {
        "choices": [
            {
                "delta": {
                    "tool_calls": [{"index": 0, "id": "c1", "function": {"name": "bash", "arguments": ""}}]
                }
            }
        ]
    },
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"command": "ls"}'}}]}}]},
    {"choices": [], "usage": {}},
]
EVENTS = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in CHUNKS)


@pytest.mark.parametrize(
    "log",
    [
        {"request": {"model": "m", "messages": [USER], "max_tokens": 9}, "response": CHOICES},
        {"request": {"body": {"model": "m", "messages": [USER]}}, "response": {"status_code": 200, "body": CHOICES}},
        {"request": json.dumps({"messages": [USER]}), "response": json.dumps(CHOICES)},
        {"messages": [USER], "kwargs": {}, "response": CHOICES, "cost": 0.1},
        {"messages": [USER], "response": {"model": "m", "message": REPLY}},
        {"messages": [USER, REPLY], "response": CHOICES},
        {"messages": json.dumps([USER]), "model": "m", "response": CHUNKS},
        {"messages": [USER], "model": "m", "response": EVENTS + "data: [DONE]"},
    ],
)  # fmt: skip
def test_the_reply_of_an_openai_log(log: JSON) -> None:
    trajectory = one(log)
    (step,) = trajectory.steps
    assert (trajectory.source, trajectory.task, step.thought, step.actions) == (
        "openai",
        "Fix a.py",
        "Look.",
        (LS,),
    )
    assert trajectory.model == "m"


def test_the_reply_of_an_anthropic_log() -> None:
    blocks: list[JSON] = [
        {"type": "thinking", "thinking": "Why.", "signature": ""},
        {"type": "text", "text": "Look."},
        {"type": "tool_use", "id": "t", "name": "bash", "input": {"command": "ls"}},
    ]
    body = {"model": "claude-x", "max_tokens": 9, "messages": [USER]}
    events: list[JSON] = [{"type": "message_start", "message": {"role": "assistant"}}]
    for index, (block, delta) in enumerate(
        zip(
            blocks,
            [
                {"type": "thinking_delta", "thinking": "Why."},
                {"type": "text_delta", "text": "Look."},
                {"type": "input_json_delta", "partial_json": '{"command": "ls"}'},
            ],
            strict=True,
        )
    ):
        empty = {
            **block,
            **({"text": ""} if index == 1 else {"thinking": ""} if index == 0 else {"input": {}}),
        }
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
        ]
    reply = {"type": "message", "role": "assistant", "content": blocks, "model": "claude-x"}
    logs: list[JSON] = [
        {"request": body, "response": reply},
        {**body, "response": events},
        {"request": {"messages": [USER]}, "response": reply},
    ]
    for log in logs:
        trajectory = one(log)
        (step,) = trajectory.steps
        assert (trajectory.source, trajectory.model) == ("anthropic", "claude-x")
        assert (step.thought, step.reasoning, step.actions) == ("Look.", "Why.", (LS,))


def test_other_choices_are_counted_and_a_plain_text_is_a_reply() -> None:
    two = {**CHOICES, "choices": [{"message": REPLY}] * 2}
    _, ledger = read({"messages": [USER], "response": two})
    assert ledger.notes == {"other_choices": 1}
    log = {"messages": [USER, said("", tool_calls=[called()]), result()], "response": "Done."}
    assert [step.thought for step in one(log).steps] == ["", "Done."]


def test_calls_in_older_and_unusual_fields() -> None:
    arguments = '{"command": "ls"}'
    older = said(None, tool_calls=None, function_call={"name": "bash", "arguments": arguments})
    encoded_twice = {"id": "c1", "function": {"name": "bash", "arguments": json.dumps(arguments)}}
    plain = {"id": 1, "name": "bash", "arguments": {"command": "ls"}}
    for messages in (
        [older, {"role": "function", "name": "bash", "content": "a.py"}],
        [said("", tool_calls=json.dumps([called()])), result()],
        [said("", tool_calls=[encoded_twice]), result()],
        [said("", tool_calls=[plain]), {"role": "tool", "tool_call_id": 1, "content": "a.py"}],
    ):
        (step,) = one([USER, *messages]).steps
        assert (step.actions, step.observation) == ((LS,), "a.py")


# --- Calls in the text


def test_hermes_calls_and_their_responses() -> None:
    two = HERMES_LS + "\n" + HERMES_LS.replace('"ls"', '"pwd"').replace("arguments", "parameters")
    both = "<tool_response>\na.py\n</tool_response>\n<tool_response>\n/w\n</tool_response>"
    messages = [USER, said("Look.\n" + two), {"role": "user", "content": both}, said("Done.")]
    first, last = one(messages).steps
    assert (first.thought, first.observation) == ("Look.", "a.py\n/w")
    assert [action.arguments["command"] for action in first.actions] == ["ls", "pwd"]
    assert (last.thought, last.actions) == ("Done.", ())
    as_tool = [USER, said(two), {"role": "tool", "content": both}]
    assert one(as_tool).steps[0].observation == "a.py\n/w"


@pytest.mark.parametrize(
    ("text", "calls", "problem"),
    [
        (HERMES_LS.removesuffix("\n</tool_call>"), 1, None),
        (f"<think>Or {HERMES_LS}?</think>Look.{HERMES_LS}", 1, None),
        ('<tool_call>\n[{"name": "a"}, {"name": "b", "arguments": "{}"}]\n</tool_call>', 2, None),
        ('<tool_call>{"name": "w", "arguments": {"text": "a\nb </tool_call>"}}</tool_call>', 1, None),
        ("Write `<tool_call>` first.", 0, None),
        ('<tool_call>\n{"name": "bash", "arguments": {"comm', 0, "unparsable_call"),
        ('<tool_call>\n{"arguments": {}}\n</tool_call>', 0, "unparsable_call"),
        ('<tool_call>\n{"name": "a", "arguments": "x"}\n</tool_call>', 0, "arguments_not_an_object"),
        ("<tool_call>bash\n<arg_key>command</arg_key>\n</tool_call>", 0, "unparsable_call"),
    ],
)
def test_hermes_calls_with_traps(text: str, calls: int, problem: str | None) -> None:
    reply = text_reply(text)
    assert (len(reply.calls), reply.problem) == (calls, problem)


def test_qwen_coder_calls() -> None:
    call = "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>"
    for text in (f"Look.\n{call}", f"Look.\n{call}\n{call}", f"Why.\n</think>\n\nLook.\n{call}"):
        reply = text_reply(text)
        assert {call.action.arguments["command"] for call in reply.calls} == {"ls"}
        assert reply.thought.strip() == "Look."
        assert not reply.problem
    assert len(text_reply(f"{call}\n{call}").calls) == 2
    answer = {"role": "user", "content": "<tool_response>\na.py\n</tool_response>"}
    assert one([USER, said(call), answer]).steps[0].observation == "a.py"


def test_terminus_replies_of_ot_agent() -> None:
    reply = {
        "analysis": "Empty.", "plan": "List.", "task_complete": False,
        "commands": [{"keystrokes": "ls\n", "duration": 0.1}, {"keystrokes": "pwd\n"}],
    }  # fmt: skip
    end = {"analysis": "Done.", "plan": "", "commands": [], "task_complete": True}
    row = {
        "conversations": [
            {"role": "user", "content": TERMINUS},
            said("<think>Why.</think>\n" + json.dumps(reply)),
            {"role": "user", "content": "New Terminal Output:\na.py"},
            said(json.dumps(end)),
        ],
        "agent": "terminus-2", "model": "acme/m", "task": "task_7", "run_id": "r", "trial_name": "task_7__AbCdEfg",
    }  # fmt: skip
    trajectory = one(row)
    assert (trajectory.trajectory_id, trajectory.instance_id, trajectory.task) == (
        "task_7__AbCdEfg", "task_7", "Fix a.py",
    )  # fmt: skip
    assert (trajectory.model, trajectory.metadata["agent"]) == ("acme/m", "terminus-2")
    first, last = trajectory.steps
    assert (first.thought, first.reasoning) == ("Analysis: Empty.\nPlan: List.", "Why.")
    assert first.actions == (
        Action(name="bash_command", arguments={"keystrokes": "ls\n", "duration": 0.1}),
        Action(name="bash_command", arguments={"keystrokes": "pwd\n", "duration": 1.0}),
    )
    assert first.observation == "New Terminal Output:\na.py"
    assert last.actions == (Action(name="mark_task_complete"),)
    assert not text_reply('{"commands": ["ls"]}').calls


# --- Rows of data sets


def test_columns_and_facts_of_a_row() -> None:
    messages = [USER, said("", tool_calls=[called()]), result()]
    row = {
        "instance_id": "acme__w-1", "trajectory_id": "t1", "resolved": 0, "model_patch": "diff --git a/a b/a",
        "problem_statement": "Fix a.py", "metadata": {"teacher_model": "acme/m"}, "repo": "acme/w",
    }  # fmt: skip
    for column in ("messages", "trajectory", "conversations"):
        for held in (messages, json.dumps(messages)):
            trajectory = one({**row, column: held})
            assert names(trajectory) == [["bash"]]
            assert (trajectory.trajectory_id, trajectory.resolved, trajectory.model) == (
                "t1",
                False,
                "acme/m",
            )
            assert (trajectory.patch, trajectory.repository) == ("diff --git a/a b/a", "acme/w")
    assert one({"messages": messages, "problem_statement": "Another"}).task == "Fix a.py"
    assert one({"messages": messages[1:], "problem_statement": "Another"}).task == "Another"


@pytest.mark.parametrize(
    "call",
    [
        {"from": "function_call", "value": '{"name": "bash", "arguments": {"command": "ls"}}'},
        {"from": "function_call", "value": '{"name": "bash", "arguments": "{\\"command\\": \\"ls\\"}"}'},
        {"from": "function_call", "value": XML_LS},
        {"from": "gpt", "value": HERMES_LS},
    ],
)
@pytest.mark.parametrize("role", ["observation", "tool", "function_response", "human"])
def test_sharegpt_turns(call: dict[str, JSON], role: str) -> None:
    row = {
        "id": "r1",
        "conversations": [
            {"from": "system", "value": "Call tools."},
            {"from": "human", "value": "Fix a.py"},
            call,
            {"from": role, "value": "EXECUTION RESULT of [bash]:\na.py"},
            {"from": "gpt", "value": "Done."},
        ],
    }
    trajectory = one(row)
    assert (trajectory.source, trajectory.trajectory_id, trajectory.task) == ("openai", "r1", "Fix a.py")
    first, last = trajectory.steps
    assert (first.actions, first.observation, last.thought) == ((LS,), "a.py", "Done.")


def test_odd_messages_are_counted_and_lose_nothing_else() -> None:
    messages: list[JSON] = [
        USER, said("", tool_calls=[called()]), result(), {"role": "moderator", "content": "x"},
        {"role": "tool", "content": {"stdout": "b.py"}}, {"role": "developer", "content": "x"},
    ]  # fmt: skip
    (trajectory,), ledger = read([*messages, 7], "openai")
    assert trajectory.steps[0].observation == 'a.py\n{"stdout": "b.py"}'
    assert ledger.notes == {"message_of_unknown_role": 1, "message_not_understood": 1}


def test_requests_are_told_apart_by_their_responses() -> None:
    request = {"max_tokens": 9, "messages": [USER]}
    assert detect({"request": request, "response": CHOICES}).name == "openai"
    assert (
        detect({"request": request, "response": {"type": "message", "role": "assistant"}}).name == "anthropic"
    )
    assert detect(request).name == "anthropic"
