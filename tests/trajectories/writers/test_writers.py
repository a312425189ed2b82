"""Written formats read back the same, and the formats' own tools accept them."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import atif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import TypeAdapter

from harness import cli
from harness.convert import main
from harness.demo import expert_path
from tests.trajectories.made import TEXT, TRAJECTORIES
from trajectories import Action, Step, Trajectory
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.store import read_trajectories
from trajectories.types import JSON
from trajectories.writers import WRITERS

LS = Action(name="bash", arguments={"command": "ls"})
CAT = Action(name="bash", arguments={"command": "cat a", "timeout": 5})


def made(*steps: Step, **fields: JSON) -> Trajectory:
    known: dict[str, JSON] = {
        "trajectory_id": "t", "instance_id": "acme__w-1", "task": "Fix it.", "source": "trae"
    }  # fmt: skip
    return Trajectory(steps=steps, **(known | fields))


TWO = made(
    Step(thought="Look.", actions=(LS, CAT), observation="a\nx"),
    Step(thought="Hm.", actions=(), observation="Go on."),
    Step(thought="", actions=(LS,), observation="", target=False),
    Step(thought="", actions=(LS,), observation=""),
    Step(thought="Done.", actions=(), observation=""),
    model="m", resolved=False, patch="diff --git", metadata={"prompt": "p"},
)  # fmt: skip


def rows(trajectory: Trajectory, name: str) -> list[JSON]:
    """Return the rows as the file holds them."""
    return [json.loads(json.dumps(row)) for row in WRITERS[name](trajectory, Counter())]


def back(lines: list[JSON], folder: Path) -> tuple[list[Trajectory], Ledger]:
    """Read rows back through a file, detection, grouping and the ledger."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ledger = Ledger()
    found = [trajectory for trajectory, _ in read_trajectories_of([path], ledger)]
    ledger.check()
    return found, ledger


@pytest.mark.parametrize("name", ["atif", "pivot", "store"])
def test_the_demo_comes_back_identical(name: str, tmp_path: Path) -> None:
    known = list(read_trajectories(expert_path()))
    found, ledger = back([row for trajectory in known for row in rows(trajectory, name)], tmp_path)
    assert found == known
    assert ledger.total().steps.read == sum(len(trajectory.steps) for trajectory in known)


def reasoned(trajectory: Trajectory, reasons: list[tuple[str, bool]]) -> Trajectory:
    """Return the trajectory with this reasoning; where it is marked, the reasoning is the thought as well."""
    steps = [
        replace(step, reasoning=reasoning, thought=reasoning if same else step.thought)
        for step, (reasoning, same) in zip(trajectory.steps, reasons, strict=False)
    ]
    return replace(trajectory, steps=(*steps, *trajectory.steps[len(steps) :]))


@pytest.mark.parametrize("name", ["atif", "atif-1.7", "pivot"])
def test_any_trajectory_comes_back_identical(name: str, tmp_path: Path) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TRAJECTORIES, st.lists(st.tuples(TEXT, st.booleans()), max_size=5))
    def holds(trajectory: Trajectory, reasons: list[tuple[str, bool]]) -> None:
        trajectory = reasoned(trajectory, reasons)
        found, ledger = back(rows(trajectory, name), tmp_path)
        acts = any(step.actions and step.target for step in trajectory.steps)
        assert found == ([trajectory] if acts or name != "pivot" else [])
        assert ledger.total().trajectories.kept == len(found)

    holds()


def test_atif_is_valid_by_the_models_of_the_format() -> None:
    for trajectory in (TWO, *read_trajectories(expert_path())):
        (row,) = rows(trajectory, "atif")
        document = atif.Trajectory.model_validate(row)
        assert document.schema_version == "ATIF-v1.8"
        assert [step.source for step in document.steps] == ["user", *["agent"] * len(trajectory.steps)]
    first = rows(TWO, "atif")[0]["steps"][1]
    assert [call["arguments"] for call in first["tool_calls"]] == [LS.arguments, CAT.arguments]
    assert first["observation"]["results"] == [{"source_call_id": "call_2_2", "content": "a\nx"}]


def test_atif_1_7_differs_by_its_version_only() -> None:
    (newer,), (older,) = rows(TWO, "atif"), rows(TWO, "atif-1.7")
    assert older == newer | {"schema_version": "ATIF-v1.7"}
    atif.Trajectory.model_validate(older)


def test_reasoning_is_written_beside_the_visible_text() -> None:
    private = made(
        Step(thought="Look.", actions=(LS,), observation="a", reasoning="Where?"),
        Step(thought="Hm.", actions=(LS,), observation="b", reasoning="Hm."),
        Step(thought="Done.", actions=(), observation="", reasoning="That is all."),
    )
    (document,) = rows(private, "atif")
    atif.Trajectory.model_validate(document)
    assert [(step["message"], step["reasoning_content"]) for step in document["steps"][1:]] == [
        ("Look.", "Where?"), ("", "Hm."), ("Done.", "That is all."),
    ]  # fmt: skip
    (row,) = rows(private, "trl-messages")
    answers = [message for message in row["messages"] if message["role"] == "assistant"]
    assert [(answer["content"], answer["reasoning_content"]) for answer in answers] == [
        ("Look.", "Where?"), ("", "Hm."), ("Done.", "That is all."),
    ]  # fmt: skip
    second = rows(private, "pivot")[1]
    items = second["responses_create_params"]["input"]
    TypeAdapter(ResponseInputParam).validate_python(items)
    assert [item["type"] for item in items] == [
        "message", "reasoning", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert items[1]["content"] == [{"type": "reasoning_text", "text": "Where?"}]
    assert second["srl_agent"]["reasoning"] == "Hm."
    assert second["srl_agent"]["after"][0]["reasoning"] == "That is all."
    assert "reasoning" not in json.dumps(rows(TWO, "atif") + rows(TWO, "pivot") + rows(TWO, "trl-messages"))


def test_pivot_rows_hold_the_history_and_the_experts_calls() -> None:
    first, second = rows(TWO, "pivot")
    assert first["responses_create_params"]["input"] == [
        {"type": "message", "role": "user", "content": "Fix it."}
    ]
    assert first["expected_action"]["type"] == "function_call_batch"
    assert [json.loads(call["arguments"]) for call in first["expected_action"]["calls"]] == [
        LS.arguments, CAT.arguments,
    ]  # fmt: skip
    kinds = [item.get("role") or item["type"] for item in second["responses_create_params"]["input"]]
    calls = ["function_call"] * 2 + ["function_call_output"] * 2
    not_learned = ["function_call", "function_call_output"]
    assert kinds == ["user", "assistant", *calls, "assistant", "user", *not_learned]
    assert second["expected_action"] == {
        "type": "function_call", "name": "bash", "arguments": '{"command": "ls"}',
    }  # fmt: skip
    (tool,) = second["responses_create_params"]["tools"]
    assert tool["parameters"]["properties"] == {"command": {"type": "string"}, "timeout": {"type": "integer"}}
    assert first["agent_ref"]["type"] == "responses_api_agents"


def test_pivot_rows_are_valid_by_the_types_of_the_api() -> None:
    items, tools = TypeAdapter(ResponseInputParam), TypeAdapter(list[FunctionToolParam])
    for row in (
        row for trajectory in (TWO, *read_trajectories(expert_path())) for row in rows(trajectory, "pivot")
    ):
        items.validate_python(row["responses_create_params"]["input"])
        tools.validate_python(row["responses_create_params"]["tools"])


def test_the_first_rows_of_a_trajectory_give_its_beginning(tmp_path: Path) -> None:
    (found,), ledger = back(rows(TWO, "pivot")[:1], tmp_path)
    assert found.steps == TWO.steps[:1]
    assert ledger.total().notes == {"later_steps_not_in_the_rows": 4}


def test_context_only_steps_get_no_row_and_lost_marks_are_counted() -> None:
    left_out = Counter[str]()
    found = list(WRITERS["pivot"](TWO, left_out))
    assert [row["srl_agent"]["step_index"] for row in found] == [0, 3]
    assert +left_out == {"no_action": 2, "context_only": 1}
    none = made(Step(thought="", actions=(LS,), observation="", target=False))
    assert list(WRITERS["pivot"](none, left_out)) == []
    assert left_out["trajectory_without_target"] == 1
    left_out = Counter()
    list(WRITERS["trl-messages"](TWO, left_out))
    assert left_out == {"mark_of_a_context_only_step": 1}


def test_only_context_only_steps_are_marked() -> None:
    line = rows(TWO, "store")[0]
    assert [step.get("target") for step in line["steps"]] == [None, None, False, None, None]


@pytest.mark.parametrize("step_index", [0, 2, -1, 10**30, None, "2"])
def test_a_history_of_another_length_is_an_error(step_index: JSON, tmp_path: Path) -> None:
    row = rows(TWO, "pivot")[1]
    assert row["srl_agent"]["step_index"] == 3
    row["srl_agent"]["step_index"] = step_index
    found, ledger = back([row], tmp_path)
    assert found == []
    (position,) = ledger.files[0].examples("trajectories")["malformed"]
    assert f"3 steps in the input, and step_index is {step_index!r}" in position


def test_missing_items_of_a_history_are_an_error(tmp_path: Path) -> None:
    row = rows(TWO, "pivot")[1]
    row["responses_create_params"]["input"][1:6] = []
    found, ledger = back([row], tmp_path)
    assert found == []
    (position,) = ledger.files[0].examples("trajectories")["malformed"]
    assert "'msg_1' is no id of step 0" in position


def test_an_edited_document_of_ours_is_read_as_a_foreign_one(tmp_path: Path) -> None:
    (row,) = rows(TWO, "atif")
    row["steps"].insert(3, {"step_id": 99, "source": "user", "message": "Be quick."})
    (found,), _ = back([row], tmp_path)
    assert found.source == "atif"
    assert found.steps[1].observation == "Go on.\nBe quick."


@pytest.mark.parametrize("name", ["atif", "pivot", "store"])
def test_a_field_of_a_wrong_type_is_an_error(name: str, tmp_path: Path) -> None:
    row = rows(TWO, name)[-1]
    holder: dict[str, Callable[[], dict[str, JSON]]] = {
        "atif": lambda: row["extra"]["srl_agent"],
        "pivot": lambda: row["srl_agent"],
        "store": lambda: row,
    }
    holder[name]()["instance_id"] = 7
    found, ledger = back([row], tmp_path)
    assert found == []
    assert ledger.total().trajectories.dropped == {"malformed": 1}
    (position,) = ledger.files[0].examples("trajectories")["malformed"]
    assert position.endswith("rows.jsonl:1: TypeError: instance_id is of type int")


def convert(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def test_messages_survive_arrow(tmp_path: Path) -> None:
    from datasets import load_dataset

    out = tmp_path / "messages.jsonl"
    assert convert(expert_path(), "--to", "trl-messages", "--out", out) == 0
    table = load_dataset("json", data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    for row, trajectory in zip(table, read_trajectories(expert_path()), strict=True):
        calls = [
            Action(name=call["function"]["name"], arguments=call["function"]["arguments"])
            for message in row["messages"]
            for call in message.get("tool_calls") or []
        ]
        assert calls == [action for step in trajectory.steps for action in step.actions]
        answers = [message for message in row["messages"] if message["role"] == "tool"]
        assert [answer["tool_call_id"] for answer in answers] == [
            call["id"] for message in row["messages"] for call in message.get("tool_calls") or []
        ]
        assert {tool["function"]["name"] for tool in json.loads(row["tools"])} == {
            call.name for call in calls
        }


HARD = {"command": 'grep -n "a\\tb" x.py', "path": "/a", "view_range": [1, 20], "text": "[1, 20]"}
# The templates that TRL ships for families whose own ones take calls. DeepSeek's join arguments to texts.
CALLING = (
    "gemma4_v5", "glm4moe", "gptoss", "llama3_1", "llama3_2", "nemotron_3_nano", "qwen2_5", "qwen3", "qwen3_5_think",
    "qwen3_5_nothink", "qwen3_6", "qwen3_8", "qwen3_instruct_2507", "qwen3_vl",
)  # fmt: skip


@pytest.mark.parametrize("template", CALLING)
def test_chat_templates_render_the_calls_of_rows_read_by_datasets(
    tmp_path: Path, tiny_model: Path, template: str
) -> None:
    """Given arguments as strings, Qwen2.5's and Llama's escape them twice, and Qwen3.5's and GLM's raise."""
    import trl
    from datasets import load_dataset
    from transformers import AutoTokenizer

    call = Action(name="bash", arguments=HARD)
    step = Step(thought="Look.", actions=(call,), observation="x.py:1")
    other = Step(thought="Then.", actions=(Action(name="bash", arguments={"command": "ls"}),), observation="")
    found = [
        made(step, trajectory_id="1"),
        made(other, trajectory_id="2"),
        made(other, step, trajectory_id="3"),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for one in found for row in rows(one, "trl-messages")))
    table = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (Path(trl.__file__).parent / f"chat_templates/{template}.jinja").read_text()
    for row in table:
        tools = json.loads(row["tools"])
        text = str(tokenizer.apply_chat_template(row["messages"], tools=tools, tokenize=False))
        called = row["messages"][-2]["tool_calls"][0]["function"]["arguments"]
        for value in called.values():
            forms = (value, json.dumps(value)) if isinstance(value, str) else (json.dumps(value), "[1,20]")
            assert any(form in text for form in forms), value
        assert "null" not in text.partition("Look.")[2]
        assert "None" not in text


def test_prompts_and_completions_are_those_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.config.load import load_recipe
    from harness.data.step_data import load_step_data, make_format

    out = tmp_path / "rows.jsonl"
    assert convert(expert_path(), "--to", "trl-prompt-completion", "--out", out) == 0
    recipe = load_recipe("demo", ["data.train_steps=null", "data.validation_steps=null"])
    data = load_step_data(recipe)
    examples = [data.example(ref) for ref in (*data.train, *data.validation)]
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(row["trajectory_id"], row["step_index"]): row["prompt"] for row in written} == {
        (example.trajectory_id, example.step_index): example.prompt for example in examples
    }
    assert len(written) == len(examples)
    by_key = {(example.trajectory_id, example.step_index): example for example in examples}
    for row in written:
        (answer,) = row["completion"]
        step = make_format(recipe).parse(answer["content"])
        assert step.actions == by_key[row["trajectory_id"], row["step_index"]].expert.actions
    account = json.loads((tmp_path / "ledger.json").read_text())
    total = sum(len(trajectory.steps) for trajectory in read_trajectories(expert_path()))
    assert sum(account["became_no_row"].values()) == total - len(written)
    assert "became no row:" in capsys.readouterr().out


def test_a_recipe_is_for_prompts_only_and_an_empty_output_has_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(expert_path(), "--to", "atif", "--recipe", "demo", "--out", tmp_path / "a") == 2
    assert "--recipe is for --to trl-prompt-completion" in capsys.readouterr().err
    only_prose = made(Step(thought="Done.", actions=(), observation=""))
    (tmp_path / "in.jsonl").write_text(json.dumps(rows(only_prose, "store")[0]) + "\n")
    assert convert(tmp_path / "in.jsonl", "--to", "pivot", "--out", tmp_path / "a") == 1
    error = capsys.readouterr().err
    assert "no row is left" in error
    assert "trajectory_without_action: 1" in error
    assert not (tmp_path / "a").exists()
