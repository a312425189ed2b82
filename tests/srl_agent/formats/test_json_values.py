"""A completion whose arguments are no strict JSON is malformed in every format; none ends a run."""

from collections.abc import Mapping, Sequence

import pytest

from srl_agent.formats import ActionFormat, FormatError, UnrepresentableActionError, get_format, read_json
from srl_agent.formats.base import TOOL_SETS
from srl_agent.rewards import SimilarityReward, StructuredReward, actions_to_json, structured_similarity
from srl_agent.scaffolds.python_source import syntax_error
from trajectories import Action
from trajectories.schema_check import MAX_DEPTH, check_schema
from trajectories.types import JSON, Step, Trajectory


class Lenient:
    """A plug-in's syntax: Python's own JSON, with all that it lets through."""

    name = "lenient"

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        return ""

    def render(self, actions: Sequence[Action]) -> str:
        return actions_to_json(actions)

    def parse(self, text: str) -> tuple[Action, ...]:
        import json

        return tuple(Action(name=row["name"], arguments=row["arguments"]) for row in json.loads(text))


FORMATS = [get_format("xml"), get_format("hermes"), ActionFormat(syntax=Lenient(), tools=TOOL_SETS["bash"])]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def call(action_format: ActionFormat, value: str) -> str:
    """Write a call with an argument that is this JSON text."""
    return {
        "xml": f"<function=bash>\n<parameter=view_range json>{value}</parameter>\n</function>",
        "hermes": f'<tool_call>\n{{"name": "bash", "arguments": {{"view_range": {value}}}}}\n</tool_call>',
        "lenient": f'[{{"name": "bash", "arguments": {{"view_range": {value}}}}}]',
    }[action_format.name]


BAD = {
    "nested a little too deep": nested(MAX_DEPTH),
    "nested deep": nested(1_000),
    "nested deeper than any stack": nested(200_000),
    "objects": '{"a":' * 1_000 + "1" + "}" * 1_000,
    "brackets left open": "[" * 1_000,
    "not a number": "NaN",
    "infinity": "-Infinity",
    "beyond a double": "[1, 1e999]",
    "an integer beyond a double": "1" + "0" * 400,
    "thousands of digits": "9" * 10_000,
}


@pytest.mark.parametrize("action_format", FORMATS, ids=lambda one: one.name)
@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_a_value_that_is_no_strict_json_is_a_malformed_completion(
    action_format: ActionFormat, value: str
) -> None:
    completion = f"<think>So.</think>\n{call(action_format, value)}"
    with pytest.raises(FormatError):
        action_format.parse(completion)
    expert = (Action(name="bash", arguments={"command": "ls"}),)
    text = action_format.render_actions(expert)
    assert SimilarityReward(action_format=action_format)(None, [completion], expert_action=[text]) == [-1.0]
    columns = {"expert_actions": [actions_to_json(expert)]}
    assert StructuredReward(action_format=action_format)(None, [completion], **columns) == [-1.0]


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_where_a_text_may_be_json_such_a_value_is_a_text(value: str) -> None:
    written = f"<function=bash>\n<parameter=view_range>{value}</parameter>\n</function>"
    (action,) = get_format("xml").parse_actions(written)
    assert action.arguments == {"view_range": value}


@pytest.mark.parametrize("action_format", FORMATS, ids=lambda one: one.name)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_an_expert_action_that_could_not_be_read_back_is_no_target(
    action_format: ActionFormat, number: float
) -> None:
    with pytest.raises(UnrepresentableActionError, match="number"):
        action_format.render_actions([Action(name="bash", arguments={"timeout": [number]})])


@pytest.mark.parametrize("action_format", FORMATS, ids=lambda one: one.name)
def test_what_a_store_holds_can_be_written_and_read(action_format: ActionFormat) -> None:
    value: JSON = 1
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    deepest = Action(name="bash", arguments={"view_range": value})
    step = Step(thought="So.", actions=(deepest,), observation="")
    check_schema(Trajectory(trajectory_id="t", instance_id="i", task="", steps=(step,), source="s"))
    assert action_format.parse(action_format.render(step)).actions == (deepest,)
    with pytest.raises(UnrepresentableActionError, match="nested deeper than 100 levels"):
        action_format.render_actions([Action(name="bash", arguments={"view_range": [value]})])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="the name 'a' is there twice"):
        read_json('{"b": {"a": 1, "c": 2, "a": 3}}')
    for text in ('{"command": "ls", "command": "rm -r x"}',):
        with pytest.raises(FormatError, match="there twice"):
            get_format("hermes").parse_actions(
                f'<tool_call>{{"name": "bash", "arguments": {text}}}</tool_call>'
            )


def test_ranges_and_python_of_any_size_are_compared() -> None:
    view = Action(name="bash", arguments={"view_range": [1, 10]})
    far = Action(name="bash", arguments={"view_range": [1, 10**300]})
    assert structured_similarity([far], [view]) < 1e-200
    assert syntax_error("x = " + nested(5_000)) is not None
