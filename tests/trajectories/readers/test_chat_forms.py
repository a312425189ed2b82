"""Chats under other names: calls in the text of model families, LangChain, tables with nulls, logs of tracers."""

import json
import time

import pytest

from tests.trajectories.reading import one, read
from trajectories.conversation.reasoning import split_thinking
from trajectories.readers.chat.text_calls import text_reply
from trajectories.readers.detect import detect
from trajectories.types import JSON, Action

USER = {"role": "user", "content": "Fix the widget."}
LS = Action(name="bash", arguments={"command": "ls"})
PWD = Action(name="bash", arguments={"command": "pwd"})
RAW_LS = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "a.py"}

TEXT_CALLS = {
    "glm": (
        "Look.\n<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call>\n"
        "<tool_call>bash<arg_key>command</arg_key><arg_value>pwd</arg_value></tool_call>",
        [LS, PWD],
    ),
    "glm_without_arguments": (
        "Look.\n<tool_call>submit\n</tool_call>",
        [Action(name="submit", arguments={})],
    ),
    "kimi": (
        "Look.<|tool_calls_section_begin|><|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>"
        '{"command": "ls"}<|tool_call_end|><|tool_call_begin|>functions.bash:1<|tool_call_argument_begin|>'
        '{"command": "pwd"}<|tool_call_end|><|tool_calls_section_end|>',
        [LS, PWD],
    ),
    "deepseek_3": (
        "Look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n```json\n"
        '{"command": "ls"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [LS],
    ),
    "deepseek_3.1": (
        'Look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "ls"}<｜tool▁call▁end｜>'
        '<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "pwd"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [LS, PWD],
    ),
    "deepseek_3.2": (
        'Look.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="wait">\n'
        '<｜DSML｜parameter name="why" string="true">5</｜DSML｜parameter>\n'
        '<｜DSML｜parameter name="seconds" string="false">5</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        [Action(name="wait", arguments={"why": "5", "seconds": 5})],
    ),
    "minimax": (
        'Look.\n<minimax:tool_call>\n<invoke name="bash">\n<parameter name="command">ls</parameter>\n'
        "</invoke>\n</minimax:tool_call>",
        [LS],
    ),
    "claude_2": (
        'Look.\n<function_calls>\n<invoke name="bash">\n<parameter name="command">ls</parameter>\n</invoke>\n'
        '<invoke name="bash">\n<parameter name="command">pwd</parameter>\n</invoke>\n</function_calls>',
        [LS, PWD],
    ),
    "hermes_in_python": (
        "Look.\n<tool_call>\n{'name': 'bash', 'arguments': {'command': 'ls'}}\n</tool_call>",
        [LS],
    ),
    "llama_names": (
        'Look.\n<tool_call>\n{"name": "bash", "parameters": {"command": "ls"}}\n</tool_call>',
        [LS],
    ),
}


@pytest.mark.parametrize(("text", "calls"), TEXT_CALLS.values(), ids=TEXT_CALLS)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_calls_in_the_text(text: str, calls: list[Action], role: str) -> None:
    said = {"role": "assistant", "content": f"<think>Why.</think>{text}"}
    trajectory = one({"messages": [USER, said, {"role": role, "content": "a.py"}]})
    (step,) = trajectory.steps
    assert trajectory.source == "openai"
    assert (step.thought, step.reasoning, step.observation) == ("Look.", "Why.", "a.py")
    assert list(step.actions) == calls


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>bash<arg_key>command</arg_key><arg_value>ls",
        "<tool_call>bash<arg_key>command</arg_key>ls</tool_call>",
        "<tool_call>bash<arg_key>a</arg_key><arg_value>1</arg_value> and more</tool_call>",
        "<|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>{not json<|tool_call_end|>",
        '<|tool_call_begin|>functions.bash:0<|tool_call_argument_begin|>{"command": "l',
        "<｜tool▁call▁begin｜>bash<｜tool▁sep｜>[1<｜tool▁call▁end｜>",
        '<invoke name="bash"><parameter name="command">ls',
        '<invoke name="bash">ls</invoke>',
        "<invoke name=>",
        "<tool_call>{'name': f()}</tool_call>",
    ],
)
def test_calls_in_the_text_that_are_cut_or_not_well_formed(text: str) -> None:
    assert (text_reply(f"Look. {text}").problem, text_reply(text).calls) == ("unparsable_call", ())


def test_text_behind_calls_in_the_text_is_noted() -> None:
    text = f"{TEXT_CALLS['minimax'][0]}\nThen I wait."
    _, ledger = read({"messages": [USER, {"role": "assistant", "content": text}]})
    assert ledger.notes["text_after_calls"] == 1


def test_the_first_form_in_a_reply_is_that_of_its_call() -> None:
    json_call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    xml_call = "<function=f><parameter=a>1</parameter></function>"
    terminus = {
        "analysis": "A",
        "plan": "P",
        "commands": [{"keystrokes": f"echo '{xml_call}<think>b</think>'\n"}],
    }
    replies = {
        f"<function=write><parameter=text>{json_call}</parameter></function>": {"text": json_call},
        f'<tool_call>{{"name": "write", "arguments": {{"text": "{xml_call}"}}}}</tool_call>': {
            "text": xml_call
        },
        f"<tool_call>write<arg_key>text</arg_key><arg_value>{json_call}</arg_value></tool_call>": {
            "text": json_call
        },
        '<tool_call>{"name": "write", "arguments": {"text": "a <think>b</think> c"}}</tool_call>': {
            "text": "a <think>b</think> c"
        },
        json.dumps(terminus): {"keystrokes": f"echo '{xml_call}<think>b</think>'\n", "duration": 1.0},
    }
    for reply, arguments in replies.items():
        (call,) = text_reply(reply).calls
        assert call.action.arguments == arguments
    assert text_reply(json.dumps(terminus)).thought == "Analysis: A\nPlan: P"


def test_terminus_1_and_terminus_in_xml() -> None:
    first = {
        "state_analysis": "A",
        "explanation": "P",
        "commands": [{"keystrokes": "ls\n", "is_blocking": True, "timeout_sec": 5}],
        "is_task_complete": True,
    }
    reply = text_reply(json.dumps(first))
    assert (reply.thought, [call.action for call in reply.calls]) == (
        "Analysis: A\nPlan: P",
        [
            Action(
                name="bash_command", arguments={"keystrokes": "ls\n", "is_blocking": True, "timeout_sec": 5}
            ),
            Action(name="mark_task_complete", arguments={}),
        ],
    )
    xml = (
        "<response>\n<analysis>A</analysis>\n<plan>P</plan>\n<commands>\n<keystrokes duration='0.5'>ls -a\n"
        "</keystrokes>\n<keystrokes>pwd\n</keystrokes>\n</commands>\n<task_complete>false</task_complete>\n</response>"
    )
    reply = text_reply(xml)
    assert (reply.thought, [call.action.arguments for call in reply.calls]) == (
        "Analysis: A\nPlan: P",
        [{"keystrokes": "ls -a\n", "duration": 0.5}, {"keystrokes": "pwd\n", "duration": 1.0}],
    )
    assert text_reply(xml.replace("</keystrokes>", "")).problem == "unparsable_call"


def test_a_chat_of_native_calls_has_none_in_its_prose() -> None:
    prose = 'The parser takes <tool_call>{"name": "rm", "arguments": {}}</tool_call> and <function=rm></function>.'
    said = {"role": "assistant", "content": "", "tool_calls": [RAW_LS]}
    openai = one({"messages": [USER, said, ANSWER, {"role": "assistant", "content": prose}]})
    blocks = [{"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}}]
    answer = [{"type": "tool_result", "tool_use_id": "c1", "content": "a.py"}]
    anthropic = one(
        [
            USER,
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": answer},
            {"role": "assistant", "content": prose},
        ]
    )
    for trajectory in (openai, anthropic):
        assert [step.actions for step in trajectory.steps] == [(LS,), ()]
        assert trajectory.steps[1].thought == prose


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ({"id": "c1", "name": "bash", "args": {"command": "ls"}, "type": "tool_call"}, LS),
        ({"id": "c1", "name": "bash", "input": {"command": "ls"}}, LS),
        ({"id": "c1", "function": {"name": "bash", "parameters": {"command": "ls"}}}, LS),
        ({"id": "c1", "function": {"name": "bash"}, "arguments": '{"command": "ls"}'}, LS),
        ({"id": "c1", "function": "bash", "arguments": {"command": "ls"}, "type": "function_call"}, LS),
        (
            {"id": "c1", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin Patch"}},
            Action(name="apply_patch", arguments={"input": "*** Begin Patch"}),
        ),
        (
            {"id": "c1", "function": {"name": "submit", "arguments": None}},
            Action(name="submit", arguments={}),
        ),
    ],
)
def test_names_for_the_arguments_of_a_call(call: dict[str, JSON], action: Action) -> None:
    said = {"role": "assistant", "content": "Look.", "tool_calls": [call]}
    document = {"messages": [USER, {**said, "reasoning_content": "Why."}, ANSWER]}
    trajectory = one(document, "openai")
    assert (trajectory.steps[0].actions, trajectory.steps[0].observation) == ((action,), "a.py")


CALL = {"name": "bash", "args": {"command": "ls"}, "id": "c1"}
THOUGHT = {"additional_kwargs": {"reasoning_content": "Why."}}
LANGCHAIN = {
    "dumped": [
        {"type": "system", "content": "s"},
        {"type": "human", "content": "Fix the widget."},
        {"type": "ai", "content": "Look.", "tool_calls": [CALL], **THOUGHT},
        {"type": "tool", "content": "a.py", "tool_call_id": "c1"},
    ],
    "in_data": [
        {"type": "human", "data": {"content": "Fix the widget."}},
        {"type": "AIMessageChunk", "data": {"content": "Look.", "tool_calls": [CALL], **THOUGHT}},
        {"type": "tool", "data": {"content": "a.py", "tool_call_id": "c1"}},
    ],
    "constructors": [
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}
        for name, kwargs in (
            ("HumanMessage", {"content": "Fix the widget."}),
            ("AIMessage", {"content": "Look.", "tool_calls": [CALL], **THOUGHT}),
            ("ToolMessage", {"content": "a.py", "tool_call_id": "c1"}),
        )
    ],
    "of_anthropic": [
        {"type": "human", "content": "Fix the widget."},
        {
            "type": "ai",
            "content": [
                {"type": "thinking", "thinking": "Why."},
                {"type": "text", "text": "Look."},
                {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}},
            ],
            "tool_calls": [CALL],
        },
        {"type": "tool", "content": "a.py", "tool_call_id": "c1"},
    ],
}


@pytest.mark.parametrize("messages", LANGCHAIN.values(), ids=LANGCHAIN)
def test_messages_of_langchain(messages: list[JSON]) -> None:
    for document in ({"messages": messages}, {"inputs": {"messages": [messages]}, "outputs": {}}):
        trajectory = one(document)
        (step,) = trajectory.steps
        assert (trajectory.source, trajectory.task) == ("openai", "Fix the widget.")
        assert (step.thought, step.reasoning, step.actions, step.observation) == (
            "Look.",
            "Why.",
            (LS,),
            "a.py",
        )


def test_a_run_of_langsmith_ends_with_its_generation() -> None:
    last = {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "Done."}}
    run = {
        "run_type": "llm",
        "inputs": {"messages": [LANGCHAIN["constructors"]]},
        "outputs": {"generations": [[{"text": "Done.", "message": last}]]},
    }
    assert [step.thought for step in one(run).steps] == ["Look.", "Done."]


def test_an_observation_of_langfuse() -> None:
    said = {"role": "assistant", "content": "Look.", "tool_calls": [RAW_LS]}
    last = {"role": "assistant", "content": "Done.", "tool_calls": [{**RAW_LS, "id": "c2"}]}
    document = {"id": "o1", "type": "GENERATION", "model": "m", "input": [USER, said, ANSWER], "output": last}
    trajectory = one(document)
    assert (trajectory.model, trajectory.task) == ("m", "Fix the widget.")
    assert [(step.thought, step.actions) for step in trajectory.steps] == [("Look.", (LS,)), ("Done.", (LS,))]
    assert one({**document, "input": {"messages": [USER, said, ANSWER]}}).steps == trajectory.steps


@pytest.mark.parametrize("column", ["conversation", "traj", "trajectory"])
def test_other_columns_hold_the_messages(column: str) -> None:
    messages = [USER, {"role": "assistant", "content": "Look.", "tool_calls": [RAW_LS]}, ANSWER]
    for held in (messages, json.dumps(messages)):
        row = {"messages": [], column: held}
        assert detect(row).why == f"`{column}`: `tool_calls`"
        assert one(row).steps[0].actions == (LS,)


def test_nulls_that_a_table_puts_in_are_no_arguments() -> None:
    keys = dict.fromkeys(("content", "tool_calls", "tool_call_id"))
    padded = {"command": "ls", "path": None}
    call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": padded}}
    table = [{**keys, **USER}, {**keys, "role": "assistant", "tool_calls": [call]}, {**keys, **ANSWER}]
    assert one({"messages": table}).steps[0].actions == (LS,)
    said = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        ANSWER,
    ]  # not padded: as it was said
    assert one({"messages": said}).steps[0].actions == (Action(name="bash", arguments=padded),)


def test_padded_blocks_of_anthropic() -> None:
    keys = dict.fromkeys(("text", "id", "name", "input", "tool_use_id", "content", "thinking"))
    blocks = [
        {**keys, "type": "thinking", "thinking": "Why."},
        {**keys, "type": "text", "text": "Look."},
        {**keys, "type": "tool_use", "id": "c1", "name": "bash", "input": {"command": "ls"}},
    ]
    answer = {**keys, "type": "tool_result", "tool_use_id": "c1", "content": "a.py"}
    trajectory = one(
        {
            "messages": [
                {"role": "user", "content": [{**keys, "type": "text", "text": "Fix the widget."}]},
                {"role": "assistant", "content": blocks},
                {"role": "user", "content": [answer]},
            ]
        }
    )
    (step,) = trajectory.steps
    assert (trajectory.source, trajectory.task) == ("anthropic", "Fix the widget.")
    assert (step.thought, step.reasoning, step.actions, step.observation) == ("Look.", "Why.", (LS,), "a.py")


def test_rollouts_of_a_task_without_a_name_are_of_one_instance() -> None:
    output = [
        {"type": "function_call", "name": "bash", "arguments": '{"command": "ls"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
    ]
    gym = {
        "responses_create_params": {"input": [USER]},
        "response": {"object": "response", "output": output},
        "problem": "p",
        "solution": "s",
    }
    named = {**gym, "verifier_metadata": {}, "task_id": "widgets-match"}
    rows = [
        gym | {"_ng_task_index": 4, "_ng_rollout_index": 0},
        gym | {"_ng_task_index": 4, "_ng_rollout_index": 1},
    ]
    instances = [
        trajectory.instance_id
        for row in (*rows, named)
        for trajectory in read(row, origin="rollouts.json")[0]
    ]
    assert instances[0] == instances[1] != instances[2] == "widgets-match"
    assert instances[0] == "rollouts#task-4"
    said = {"role": "assistant", "content": "Look.", "tool_calls": [RAW_LS]}
    row: JSON = {"task_id": 7, "trial": 1, "traj": [USER, said, ANSWER]}
    assert one(row, origin="retail.json").instance_id == "retail#task-7"


def test_a_row_of_a_task_with_its_solution_is_a_run_where_it_holds_one() -> None:
    said = {"role": "assistant", "content": "Look.", "tool_calls": [RAW_LS]}
    columns = {"problem": "p", "solution": "1. **A** b"}
    assert detect({**columns, "messages": [USER, said, ANSWER]}).name == "openai"
    assert detect({**columns, "messages": [USER, {"role": "assistant", "content": "1. b"}]}).name == "math"


def test_replies_of_swe_agent_that_are_the_command_or_nothing_else() -> None:
    def thought(content: str, thought: str, action: str) -> str:
        item = {
            "role": "assistant",
            "content": content,
            "thought": thought,
            "action": action,
            "agent": "main",
        }
        items = [{**USER, "agent": "main"}, item, {"role": "user", "content": "OBSERVATION:\na.py"}]
        (step,) = one({"history": items, "trajectory": [], "info": {}, "environment": "e"}).steps
        assert step.actions == (Action(name="bash", arguments={"command": action}),)
        return step.thought

    assert thought("```\nls -F\n```", "", "ls -F\n") == ""  # thought_action
    assert thought("ls -F", "", "ls -F") == ""  # action_only
    assert thought("ls -F", "ls -F", "ls -F") == ""  # identity
    assert thought("Look.\n```\nls -F\n```", "Look.\n", "ls -F\n") == "Look."


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>bash " * 3000,
        "<tool_call>" + " " * 40_000,
        "<tool_call>a" + "<arg_key>" * 5000,
        "<tool_call>" + "a" * 40_000,
        '<invoke name="a">' * 2500,
        '<invoke name="a">' + '<parameter name="b">' * 2500,
        "<|tool_call_begin|>" * 2500,
        "<｜tool▁call▁begin｜>" * 2500,
        "<response><analysis></analysis><commands>" + "<keystrokes " * 4000,
        "<tool_call>" + "[" * 15_000,
        "<tool_call>(" + "{'a': " * 3000,
    ],
)
def test_long_texts_are_read_in_linear_time(text: str) -> None:
    start = time.monotonic()
    text_reply(text)
    split_thinking(f"<think>{text}")
    assert time.monotonic() - start < 1


CONVERSE = [
    {"role": "user", "content": [{"text": "Fix the widget."}]},
    {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "Why.", "signature": "x"}}},
            {"text": "Look."},
            {"toolUse": {"toolUseId": "c1", "name": "bash", "input": {"command": "ls"}}},
            {"toolUse": {"toolUseId": "c2", "name": "bash", "input": {"command": "pwd"}}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "c2", "content": [{"json": {"path": "/w"}}], "status": "success"}},
            {"toolResult": {"toolUseId": "c1", "content": [{"text": "a.py"}], "status": "success"}},
        ],
    },
]
GEMINI = [
    {"role": "user", "parts": [{"text": "Fix the widget."}]},
    {
        "role": "model",
        "parts": [
            {"text": "Why.", "thought": True},
            {"text": "Look."},
            {"functionCall": {"name": "bash", "args": {"command": "ls"}}},
            {"functionCall": {"name": "bash", "args": {"command": "pwd"}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "bash", "response": {"output": "a.py"}}},
            {"function_response": {"name": "bash", "response": {"path": "/w"}}},
        ],
    },
]
PROVIDERS = {
    "bedrock": (
        {"modelId": "m", "messages": CONVERSE},
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Done."}]}},
            "stopReason": "end_turn",
        },
    ),
    "gemini": (
        {"contents": GEMINI, "generationConfig": {}},
        {
            "candidates": [
                {"content": {"parts": [{"text": "Done."}], "role": "model"}, "finishReason": "STOP"}
            ]
        },
    ),
}


@pytest.mark.parametrize(("request_body", "response"), PROVIDERS.values(), ids=PROVIDERS)
def test_requests_of_bedrock_and_gemini(request_body: JSON, response: JSON) -> None:
    trajectory = one(request_body)
    (step,) = trajectory.steps
    assert (trajectory.source, trajectory.task) == ("anthropic", "Fix the widget.")
    assert (step.thought, step.reasoning, step.actions) == ("Look.", "Why.", (LS, PWD))
    assert step.observation == 'a.py\n{"path": "/w"}'
    answered = one({"request": request_body, "response": response})
    assert [step.thought for step in answered.steps] == ["Look.", "Done."]


def test_a_reply_of_terminus_whose_calls_are_items_or_native() -> None:
    said: dict[str, JSON] = {
        "analysis": "A",
        "plan": "P",
        "commands": [{"keystrokes": "ls\\n", "duration": 0.1}],
    }
    text, arguments = json.dumps(said), json.dumps(said["commands"][0])
    call = {"type": "function_call", "name": "bash_command", "arguments": arguments, "call_id": "c1"}
    output = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]},
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
    ]
    rollout = {
        "responses_create_params": {"input": [USER]},
        "response": {"object": "response", "output": output},
    }
    native: dict[str, JSON] = {"id": "c1", "function": {"name": "bash_command", "arguments": arguments}}
    chat = {"messages": [USER, {"role": "assistant", "content": text, "tool_calls": [native]}, ANSWER]}
    for document in (rollout, chat):
        (step,) = one(document).steps
        assert (step.thought, step.observation) == ("Analysis: A\nPlan: P", "a.py")
        assert step.actions == (Action(name="bash_command", arguments=said["commands"][0]),)
    native["function"]["name"] = "write"  # another call: its text is its own
    assert one(chat).steps[0].thought == text


def test_the_last_of_aviarys_transitions_is_the_run() -> None:
    first = [
        {"type": "message", **USER},
        {"type": "function_call", "name": "bash", "arguments": '{"command": "ls"}', "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
    ]
    more = [*first, {"type": "message", "role": "assistant", "content": "Done."}]
    row: dict[str, JSON] = {
        "responses_create_params": {"input": []},
        "response": {"id": "r", "output": [first, more], "object": "response"},
        "task_idx": 3,
    }
    trajectory = one(row, origin="gsm.json")
    assert (trajectory.task, trajectory.instance_id) == ("Fix the widget.", "gsm#task-3")
    assert [step.thought for step in trajectory.steps] == ["", "Done."]
    row["response"]["output"] = [[first[0]], first[1:]]
    assert read(row)[1].notes["other_transition"] == 1
