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
