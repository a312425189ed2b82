"""The comparison with the source knows the forms of chats that are read: no difference where all is right."""

import json
from pathlib import Path

import pytest

from harness.data.inspection.source_check import compare
from tests.trajectories.readers.test_chat_forms import ANSWER, LANGCHAIN, PROVIDERS, RAW_LS, TEXT_CALLS, USER
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.store import dump_line
from trajectories.types import JSON

DOCUMENTS: dict[str, JSON] = {
    **{
        name: {
            "messages": [USER, {"role": "assistant", "content": text}, {"role": "user", "content": "a.py"}]
        }
        for name, (text, _) in TEXT_CALLS.items()
    },
    **{name: {"messages": messages} for name, messages in LANGCHAIN.items()},
    **{name: {"request": body, "response": response} for name, (body, response) in PROVIDERS.items()},
    "a_function_call_of_sharegpt": {
        "conversations": [
            {"from": "human", "value": "Fix the widget."},
            {"from": "function_call", "value": '[{"name": "bash", "arguments": {"command": "ls"}}]'},
            {"from": "observation", "value": "a.py"},
        ]
    },
    "prose_about_calls": {
        "task": "Fix the widget.",
        "messages": [
            USER,
            {"role": "assistant", "content": "Look.", "tool_calls": [RAW_LS]},
            ANSWER,
            {"role": "assistant", "content": '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'},
        ],
    },
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_is_read_right_is_the_same_in_the_source(document: JSON, tmp_path: Path) -> None:
    source, store = tmp_path / "in.json", tmp_path / "out.jsonl"
    source.write_text(json.dumps(document), encoding="utf-8")
    read = [trajectory for trajectory, _ in read_trajectories_of([source], Ledger())]
    store.write_text("".join(map(dump_line, read)), encoding="utf-8")
    found = compare(store, [source], ledger=None, limit=2**20)
    assert (found.differences, found.matched, found.units) == ([], 1, 1)
    assert found.source["calls"] == found.kept["calls"] == sum(len(step.actions) for step in read[0].steps)


@pytest.mark.parametrize(
    "name", ["glm", "kimi", "deepseek_3.1", "deepseek_3.2", "minimax", "hermes_in_python"]
)
def test_a_call_that_another_reader_would_lose_is_found(name: str, tmp_path: Path) -> None:
    source, store = tmp_path / "in.json", tmp_path / "out.jsonl"
    source.write_text(json.dumps(DOCUMENTS[name]), encoding="utf-8")
    store.write_text("", encoding="utf-8")
    found = compare(store, [source], ledger=None, limit=2**20)
    assert {difference.check for difference in found.differences if difference.violation} >= {"call_lost"}
