import json

import pytest

from trajectories.readers import READERS
from trajectories.readers.detect import FORMAT_NAMES, UnknownFormat, detect
from trajectories.types import JSON


def test_every_format_has_a_reader() -> None:
    assert set(FORMAT_NAMES) == set(READERS)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        7,
        "x",
        {"instance_id": "a", "model_patch": "d"},
        {"messages": []},
        [{"a": 1}],
        {"trajectory": 3},
    ],
)
def test_unknown_lists_the_formats(value: JSON) -> None:
    with pytest.raises(UnknownFormat, match=r"none of the formats adp, ai-sdk, anthropic, .*swe-smith, trae"):
        detect(value)


def test_two_formats_at_once_is_an_error_that_names_both() -> None:
    messages = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]
    with pytest.raises(UnknownFormat, match="anthropic and openai at once; choose one with --format"):
        detect({"messages": messages})
    with pytest.raises(UnknownFormat, match="swe-agent and trae at once"):
        detect({"history": [], "trajectory": [], "agent_steps": []})


def test_request_body_without_a_call_is_anthropic() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert detect({"model": "m", "max_tokens": 1, "messages": messages}).name == "anthropic"
    assert detect({"messages": messages}).name == "openai"


CALL = {"type": "function", "id": "c1", "function": {"name": "bash", "arguments": "{}"}}
FENCED = "Look.\n\n```bash\nls\n```"
XML = "<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>"


@pytest.mark.parametrize(
    "reply", ["Look.", FENCED, f"{FENCED}\n\n{XML}", XML, "<mswea_bash_command>ls</mswea_bash_command>"]
)
def test_the_words_of_a_reply_decide_nothing(reply: str) -> None:
    messages = [{"role": "user", "content": "Fix it."}, {"role": "assistant", "content": reply}]
    assert detect(messages).name == "openai"
    assert detect({"messages": messages, "instance_id": "acme__w-1"}).name == "openai"
    assert detect({"messages": messages, "instance_id": "acme__w.1a2b3c4d.pr_1"}).name == "swe-smith"
    assert detect({"messages": messages, "traj_id": "t"}).name == "swe-smith"
    asked = [{"role": "user", "content": "Write ```mswea_bash_command blocks."}, *messages]
    assert detect({"messages": asked, "instance_id": "acme__w-1"}).name == "mini-swe-agent"
    done = [*messages, {"role": "exit", "content": "", "extra": {"exit_status": "Submitted"}}]
    assert detect({"messages": done, "instance_id": "acme__w-1"}).name == "mini-swe-agent"


@pytest.mark.parametrize("column", ["messages", "trajectory", "conversations"])
def test_messages_may_stand_in_a_column_also_as_a_text(column: str) -> None:
    messages = [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    ]
    found = detect({column: messages})
    assert (found.name, found.why) == ("openai", f"`{column}`: `tool_calls`")
    assert detect({column: json.dumps(messages), "trajectory_id": "t"}) == found


def test_shapes_of_other_programs_are_told_apart_by_their_fields() -> None:
    line = {
        "uuid": "1",
        "sessionId": "11111111-2222-4333-8444-555555555555",
        "timestamp": "t",
        "type": "user",
    }
    assert detect(line | {"message": {"role": "user", "content": "x"}}).name == "claude-code"
    assert detect(line | {"message": {"role": "user", "parts": [{"text": "x"}]}}).name == "qwen-code"
    assert (
        detect(line | {"sessionId": "session-1", "message": {"role": "user", "content": "x"}}).name == "iflow"
    )
    assert detect({"type": "system", "session_id": "s", "subtype": "init"}).name == "claude-stream"
    inspect_call = {"id": "c", "function": "bash", "arguments": {}}
    assert detect([{"role": "assistant", "content": "", "tool_calls": [inspect_call]}]).name == "inspect"
    block = {"type": "tool-call", "toolCallId": "c", "toolName": "bash", "input": {}}
    assert detect([{"role": "assistant", "content": [block]}]).name == "ai-sdk"


def test_a_deep_value_of_a_table_is_no_crash() -> None:
    deep: JSON = "x"
    for _ in range(400):
        deep = [{"content": deep}]
    messages = [
        {"role": "user", "content": deep, "name": None},
        {"role": "assistant", "content": "Hm.", "name": None},
    ]
    assert detect({"messages": messages}).name == "openai"
    for _ in range(2000):
        deep = [{"content": deep}]
    messages[0]["content"] = deep
    assert detect({"messages": messages}).name == "openai"
