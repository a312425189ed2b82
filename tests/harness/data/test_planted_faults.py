"""A right store of each of several formats passes; with one fault planted in it the comparison names the fault."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.convert import main
from harness.data.inspection.source_check import compare
from tests.harness.data.foreign_documents import (
    TASK,
    Files,
    act,
    answer,
    atif,
    event,
    line,
    reply,
    result,
    said,
    use,
    user,
    write,
    xml,
)
from trajectories.sources.paths import find_files

Row = dict[str, Any]
Fault = Callable[[Row, Row], object]

LIMIT = 2**20
NAMES = ("first", "second", "third")
EXAMPLE = "--------------------- START OF EXAMPLE ---------------------\nMake a list of numbers.\n"
NEW_TASK = "\n--------------------- NEW TASK DESCRIPTION ---------------------\nFix a.py\n"
END = "--------------------- END OF NEW TASK DESCRIPTION ---------------------"


def shown(name: str) -> str:
    return f"the output of {name}\nnothing else"


def think(name: str) -> str:
    return f"I think about {name}."


def chat_run() -> Files:
    messages = [TASK]
    for name in NAMES:
        call = ("bash", {"command": name})
        messages += [
            said(f"Run {name}.", call, ids=name, reasoning_content=think(name)),
            answer(shown(name), f"{name}0"),
        ]
    other = [user("Look at b.py"), said("Ask.", ("bash", {"command": "other"})), answer(shown("other"))]
    return {"a.json": {"messages": messages}, "b.json": {"messages": other}}


def xml_run() -> Files:
    messages = [TASK]
    for name in NAMES:
        text = f"<think>{think(name)}</think>\nRun {name}.\n{xml('bash', command=name)}"
        messages += [reply(text), user(f"OBSERVATION:\n{shown(name)}")]
    other = [user("Look at b.py"), reply(f"Ask.\n{xml('bash', command='other')}"), user(shown("other"))]
    return {"a.json": {"messages": messages}, "b.json": {"messages": other}}


def session_run() -> Files:
    def lines(prompt: str, names: tuple[str, ...], side: bool) -> list[Any]:
        about = {"isSidechain": side, **({"agentId": "s1"} if side else {})}
        found = [line(f"u{side}", None, "user", prompt, **about)]
        for name in names:
            before, blocks = (
                found[-1]["uuid"],
                [{"type": "thinking", "thinking": think(name), "signature": "x"}],
            )
            blocks += [{"type": "text", "text": f"Run {name}."}, use(name, "Bash", command=name)]
            found.append(line(f"a{name}", before, "assistant", blocks, **about))
            found.append(line(f"r{name}", f"a{name}", "user", [result(name, shown(name))], **about))
        return found

    return {"0a1b.jsonl": [*lines("Fix a.py", NAMES, False), *lines("Look at b.py", ("other",), True)]}


def atif_run() -> Files:
    def step(name: str, **extra: Any) -> Any:
        call = ("bash", {"command": name})
        return act(f"Run {name}.", call, shown(name), name, reasoning_content=think(name), extra=extra)

    side = {"is_sidechain": True, "agent_id": "s1"}
    first, *rest = (
        {"source": "user", "message": "Fix a.py"},
        *(step(name, is_sidechain=False) for name in NAMES),
    )
    prompt = {"source": "user", "message": "Look at b.py", "extra": side}
    return {"a.json": atif(first, rest[0], prompt, step("other", **side), *rest[1:])}


def openhands_run() -> Files:
    def events(prompt: str, names: tuple[str, ...]) -> list[Any]:
        found: list[Any] = [{"id": 0, "source": "user", "action": "message", "args": {"content": prompt}}]
        for name in names:
            call = {"id": name, "function": {"name": "bash", "arguments": json.dumps({"command": name})}}
            message = {"content": f"Run {name}.", "reasoning_content": think(name), "tool_calls": [call]}
            about = {"tool_call_id": name, "model_response": {"id": name, "choices": [{"message": message}]}}
            number = len(found)
            found += [
                {"id": number, "source": "agent", "action": "run", "args": {"command": name},
                 "tool_call_metadata": about},
                {"id": number + 1, "source": "agent", "observation": "run", "cause": number, "content": shown(name)},
            ]  # fmt: skip
        return found

    example = f"{EXAMPLE}{NEW_TASK}{END}"
    return {"a.json": events(example, NAMES), "b.json": events("Look at b.py", ("other",))}


def sdk_run() -> Files:
    def events(conversation: str, prompt: str, names: tuple[str, ...]) -> list[Any]:
        message = {"role": "user", "content": [{"type": "text", "text": prompt}]}
        found = [event(0, "MessageEvent", conversation, source="user", llm_message=message)]
        for name in names:
            call = {"id": name, "name": "terminal", "arguments": json.dumps({"command": name})}
            output = {"kind": "TerminalObservation", "content": [{"type": "text", "text": shown(name)}]}
            found += [
                event(
                    len(found), "ActionEvent", conversation, tool_call=call, tool_call_id=name, tool_name="terminal",
                    action={"kind": "TerminalAction", "command": name}, llm_response_id=f"r-{name}",
                    thought=[{"type": "text", "text": f"Run {name}."}], reasoning_content=think(name),
                ),
                event(len(found) + 1, "ObservationEvent", conversation, source="environment", observation=output,
                      tool_call_id=name, tool_name="terminal"),
            ]  # fmt: skip
        return found

    return {"a.jsonl": events("a", "Fix a.py", NAMES), "b.jsonl": events("b", "Look at b.py", ("other",))}


RUNS = {
    "openai": chat_run, "xml": xml_run, "claude-code": session_run, "atif": atif_run, "openhands": openhands_run,
    "openhands-sdk": sdk_run,
}  # fmt: skip


def drop_a_call(row: Row, other: Row) -> None:
    row["steps"][1]["actions"] = []


def double_a_call(row: Row, other: Row) -> None:
    row["steps"][1]["actions"] *= 2


def change_a_call(row: Row, other: Row) -> None:
    row["steps"][1]["actions"][0]["arguments"] = {"command": "made up"}


def swap_observations(row: Row, other: Row) -> None:
    first, second, _ = row["steps"]
    first["observation"], second["observation"] = second["observation"], first["observation"]


def drop_an_observation(row: Row, other: Row) -> None:
    row["steps"][0]["observation"] = ""


def drop_reasoning(row: Row, other: Row) -> None:
    row["steps"][2]["reasoning"] = ""


def mix_in_a_turn(row: Row, other: Row) -> None:
    row["steps"].insert(1, other["steps"][0])


def example_as_task(row: Row, other: Row) -> None:
    row["task"] = EXAMPLE


def reply_as_task(row: Row, other: Row) -> None:
    row["task"] = row["steps"][0]["thought"]


def rollout_as_instance(row: Row, other: Row) -> None:
    row["instance_id"] = "acme__widgets-12_3"


FAULTS: dict[Fault, set[str]] = {
    drop_a_call: {"call_lost"},
    double_a_call: {"call_not_made"},
    change_a_call: {"call_lost", "call_not_made"},
    swap_observations: {"result_misplaced"},
    drop_an_observation: {"result_lost"},
    drop_reasoning: {"reasoning_lost"},
    mix_in_a_turn: {"other_agent", "call_not_made"},  # one of the two
    example_as_task: {"task"},
    reply_as_task: {"task"},
    rollout_as_instance: {"instance"},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_planted_fault_is_named(name: str, tmp_path: Path) -> None:
    write(RUNS[name](), tmp_path / "in")
    store = tmp_path / "store.jsonl"
    assert cli.run(lambda: main([str(tmp_path / "in"), "--out", str(store), "--no-card", "--validate"])) == 0
    lines = store.read_text().splitlines()
    for plant, names in FAULTS.items():
        rows = [json.loads(text) for text in lines]
        row, other = sorted(rows, key=lambda row: -len(row["steps"]))
        assert [len(row["steps"]), len(other["steps"])] == [3, 1]
        plant(row, other)
        store.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = compare(store, find_files([tmp_path / "in"]), ledger=tmp_path / "ledger.json", limit=LIMIT)
        told = {one.check for one in found.differences if one.violation}
        assert told & names, (plant.__name__, found.differences)
        assert plant is mix_in_a_turn or told <= names, (plant.__name__, found.differences)
