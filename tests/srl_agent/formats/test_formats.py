"""``parse(render(x)) == x`` for every action that a format can express, and a reason for every refused completion."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.demo import expert_path
from srl_agent.formats import FormatError, UnrepresentableActionError, get_format
from srl_agent.plugins import PluginError
from trajectories import Action, Step
from trajectories.store import read_trajectories

FORMATS = ("xml", "hermes", "bash-block")
NASTY = st.sampled_from(
    [
        "</parameter>",
        "</function>",
        "<think>",
        "</think>",
        "</tool_call>",
        "\n",
        "\r\n",
        "```",
        "`",
        '"',
        "<",
        "{",
        "5",
    ]
)
TEXT = st.lists(st.one_of(NASTY, st.text(max_size=12)), max_size=6).map("".join)
NAMES = st.sampled_from(["command", "path", "old_str", "file_text", "view_range", "insert_line", "anything"])
VALUES = st.recursive(
    st.one_of(
        TEXT, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)
ACTIONS = st.builds(
    lambda name, arguments: Action(name=name, arguments=arguments),
    st.sampled_from(["bash", "str_replace_editor", "mcp__server__tool", "submit"]),
    st.dictionaries(NAMES, VALUES, max_size=4),
)
THOUGHTS = st.text(min_size=1, max_size=40).map(str.strip).filter(bool)


def same(left: Any, right: Any) -> bool:
    """Return whether values are equal, where 1 and True differ."""
    return left == right and repr(left) == repr(right)


@settings(max_examples=400, deadline=None)
@given(thought=THOUGHTS, actions=st.lists(ACTIONS, min_size=1, max_size=3))
@pytest.mark.parametrize("name", ["xml", "hermes"])
def test_round_trip_of_generated_actions(name: str, thought: str, actions: list[Action]) -> None:
    action_format = get_format(name)
    step = Step(thought=thought, actions=tuple(actions), observation="")
    assert same(action_format.parse(action_format.render(step)), step)


@settings(max_examples=400, deadline=None)
@given(thought=THOUGHTS, command=TEXT)
def test_round_trip_of_generated_commands(thought: str, command: str) -> None:
    action_format = get_format("bash-block")
    step = Step(
        thought=thought, actions=(Action(name="bash", arguments={"command": command}),), observation=""
    )
    try:
        text = action_format.render(step)
    except UnrepresentableActionError:
        assert "think>" in thought + command
    else:
        assert same(action_format.parse(text), step)


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_the_demo(name: str) -> None:
    assert round_trips(name, expert_path()) > 100


@pytest.mark.realdata
@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_of_real_actions(name: str, real_data: Path, tmp_path: Path) -> None:
    from harness.convert import main

    out = tmp_path / "real.jsonl"
    assert main([str(real_data / "trajectories/isobench_trae_sonnet45"), "--out", str(out)]) == 0
    assert round_trips(name, out) > 3000


def round_trips(name: str, path: Path) -> int:
    action_format, count = get_format(name), 0
    for trajectory in read_trajectories(path):
        for step in trajectory.steps:
            given_step = replace(step, thought=step.thought.strip() or "Go on.", observation="")
            try:
                text = action_format.render(given_step)
            except UnrepresentableActionError:
                continue
            assert same(action_format.parse(text), given_step)
            count += 1
    return count


CALL = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (CALL, "no <think>"),
        (f"<think></think>{CALL}", "empty thought"),
        (f"<think>a</think><think>b</think>{CALL}", "more than one"),
        ("<think>a</think>", "no action"),
        (f"Well. <think>a</think>{CALL}", "no <think>"),
        (f"<think>a</think>I list. {CALL}", "expected a <function=…> call"),
        (f"<think>a</think>{CALL} OBSERVATION: x", "expected a <function=…> call"),
        ("<think>a</think><function=bash>\n<parameter=command>ls", "not closed"),
        ("<think>a</think><function=bash><parameter=c json>{</parameter></function>", "marked as JSON"),
    ],
)
def test_bad_completions_say_why(completion: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        get_format("xml").parse(completion)


def test_swe_smith_text_is_what_we_write() -> None:
    edit = Action(
        name="str_replace_editor",
        arguments={"command": "str_replace", "path": "/testbed/a.py", "old_str": "a = 1", "new_str": "a = 2"},
    )
    assert get_format("xml").render_actions([edit]) == (
        "<function=str_replace_editor>\n<parameter=command>str_replace</parameter>\n"
        "<parameter=path>/testbed/a.py</parameter>\n<parameter=old_str>\na = 1\n</parameter>\n"
        "<parameter=new_str>\na = 2\n</parameter>\n</function>"
    )


def test_a_prompt_ends_where_the_action_begins() -> None:
    step = Step(
        thought="a secret", actions=(Action(name="bash", arguments={"command": "ls"}),), observation="a.py"
    )
    messages = get_format("xml").render_prompt("Fix it.", [step], omitted=3)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert "3 earlier steps" in messages[1]["content"]
    assert messages[-1]["content"].endswith("a.py")
    assert not any("secret" in message["content"] for message in messages)


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(PluginError, match="xml, hermes, bash-block"):
        get_format("yaml")
