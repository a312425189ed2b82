"""Comparing a store with its sources: each fault of the old converter is found, and what is right passes."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from harness import cli
from harness.convert import main
from harness.data.inspection.source_check import compare
from harness.data.inspection.source_marks import text_calls
from harness.data.inspection.source_match import match
from harness.demo import expert_path
from tests.harness.data.foreign_documents import LS, answer, chat, line, result, said, use, write, xml
from tests.harness.data.wrong_calls import CALLS
from tests.harness.data.wrong_formats import DETECTION, SPEAKERS
from tests.harness.data.wrong_stores import Case, write_ledger
from tests.harness.data.wrong_tasks import REASONING, TASKS
from tests.trajectories.seeds import SEEDS
from trajectories.readers.pipeline import LOGS
from trajectories.sources.paths import find_files
from trajectories.store import dump_line

LIMIT = 2**20
CASES: dict[str, Case] = {**DETECTION, **SPEAKERS, **CALLS, **TASKS, **REASONING}


def command(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def violations(store: Path, source: Path, ledger: Path | None) -> Counter[str]:
    found = compare(store, find_files([source]), ledger=ledger, limit=LIMIT)
    return Counter(one.check for one in found.differences if one.violation)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_old_store_is_found_wrong(case: Case, tmp_path: Path) -> None:
    source, store, ledger = tmp_path / "in", tmp_path / "old.jsonl", tmp_path / "ledger.json"
    write(case.files, source)
    store.write_text("".join(map(dump_line, case.old)))
    write_ledger(case, source, ledger)
    assert set(violations(store, source, ledger)) == case.found_by


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_store_of_today_passes(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(case.files, tmp_path / "in")
    store = tmp_path / "new.jsonl"
    assert command(tmp_path / "in", "--out", store, "--no-card", "--validate") == 0, capsys.readouterr().out
    assert not violations(store, tmp_path / "in", tmp_path / "ledger.json")


# The seed of mini-swe-agent mixes two modes, which no run does.
@pytest.mark.parametrize("name", sorted(set(SEEDS) - {"mini-swe-agent"}))
def test_a_run_of_each_format_passes(name: str, tmp_path: Path) -> None:
    log = name in LOGS or name == "openhands-sdk"
    files = {"run.jsonl": SEEDS[name]} if log else {f"{n}.json": seed for n, seed in enumerate(SEEDS[name])}
    write(files, tmp_path / "in")
    store = tmp_path / "new.jsonl"
    assert command(tmp_path / "in", "--out", store, "--no-card") == 0
    assert not violations(store, tmp_path / "in", tmp_path / "ledger.json")


def test_the_command_names_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES["a_reply_outside_the_messages"]
    write(case.files, tmp_path / "in")
    store = tmp_path / "old.jsonl"
    store.write_text("".join(map(dump_line, case.old)))
    assert command(store, "--validate") == 0  # without the source nothing seems wrong
    assert "sources:" not in capsys.readouterr().out
    assert command(store, "--validate", "--source", tmp_path / "in") == 1
    told = capsys.readouterr().out
    assert "no ledger" in told
    place = f"{tmp_path}/in/log.json $.response.choices[0].message.tool_calls[0]"
    assert f"{place}: bash(command='pytest') is in no trajectory" in told
    assert "calls: 2 (8 characters) in the sources, 1 (2 characters) kept" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("--source", "x"),
        ("--out", "y.jsonl", "--validate", "--source", "x"),
        ("--validate", "--source", "no"),
    ],
)
def test_a_source_is_for_the_validation_of_a_store(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store.jsonl"
    store.write_text("".join(map(dump_line, CASES["reasoning_content"].old)))
    assert command(store, *arguments) == 2


def test_turns_of_the_ledger_explain_lost_calls(tmp_path: Path) -> None:
    case = CASES["a_reply_outside_the_messages"]
    write(case.files, tmp_path / "in")
    store, ledger = tmp_path / "old.jsonl", tmp_path / "ledger.json"
    store.write_text("".join(map(dump_line, case.old)))
    for reasons, lost in (({"copied_context": 1}, 0), ({"empty_turn": 1}, 1), ({}, 1)):
        write_ledger(
            Case(files=case.files, old=(), found_by=set(), dropped={"log.json": reasons}),
            tmp_path / "in",
            ledger,
        )
        assert violations(store, tmp_path / "in", ledger)["call_lost"] == lost


def test_forks_share_calls_and_filters_hide_secrets(tmp_path: Path) -> None:
    """Turns before a fork are in each of its branches; a redacted argument is no other call."""
    secret = "ghp_" + "0123456789abcdef" * 2 + "0123"
    lines = [
        line("u1", None, "user", "Fix a.py"),
        line("a1", "u1", "assistant", [use("t1", "Bash", command="ls")]),
        line("r1", "a1", "user", [result("t1", "a.py")]),
        line("a2", "r1", "assistant", [use("t2", "Bash", command=f"TOKEN={secret} push")]),
        line("r2", "a2", "user", [result("t2", "pushed")]),
        line("u3", "r1", "user", "No, test it."),
        line("a3", "u3", "assistant", [use("t3", "Bash", command="pytest")]),
        line("r3", "a3", "user", [result("t3", "1 passed")]),
    ]
    write({"0a1b.jsonl": lines}, tmp_path / "in")
    store = tmp_path / "new.jsonl"
    assert command(tmp_path / "in", "--out", store, "--filters", "clean", "--no-card", "--validate") == 0
    rows = [json.loads(row) for row in store.read_text().splitlines()]
    assert len(rows) == 2
    assert secret not in store.read_text()


def test_calls_in_a_text() -> None:
    closed, unclosed = xml("bash", command="ls"), xml("bash", closed=False, command="ls")
    key = ("bash", frozenset({("command", "ls")}))
    assert list(text_calls(f"Look.\n{closed}")) == [key]
    assert list(text_calls(unclosed)) == [key]
    assert list(text_calls(f"{unclosed}\n{closed}")) == [None, key]
    assert list(text_calls("<function=bash>\nls\n</function>")) == [None]
    assert list(text_calls(f"<tool_call>\n{closed}\n</tool_call>")) == [key]
    hermes = json.dumps({"name": "bash", "arguments": {"command": "ls"}})
    assert list(text_calls(f"<tool_call>{hermes}</tool_call><tool_call>[1]</tool_call>")) == [key, None]
    assert list(text_calls("prose")) == []


def test_a_text_of_the_worst_kind_takes_linear_time() -> None:
    for text in ("<function=a><parameter=b>" * 2000, "<tool_call>" * 4000, "<function=" * 4000):
        assert len(list(text_calls(text))) in (2000, 4000)


def test_trajectories_of_equal_runs_are_shared_out() -> None:
    runs = [({1, 2}, False), ({1, 2}, False), ({3}, False)]
    assert match([{1, 2}, {1, 2}, {3, 4}, {5}], runs) == [0, 1, 2, None]
    assert match([{1, 2}, {1, 2}], [({1, 2, 3}, False), ({1, 2}, False)]) == [1, 1]


def test_a_damaged_source_is_no_crash(tmp_path: Path) -> None:
    """Fields of any type count for nothing."""
    odd = [
        {
            "messages": [
                3,
                None,
                {"role": 5, "content": {"text": []}},
                {"role": "assistant", "tool_calls": "x"},
            ]
        },
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 1, "arguments": []}}, 7]}]},
        {
            "steps": [
                {"source": ["agent"], "extra": [], "tool_calls": {"function_name": "f", "arguments": "{"}}
            ]
        },
        {
            "history": [
                [{"action": {}, "observation": []}],
                {"tool_call_metadata": {"model_response": {"choices": [3]}}},
            ]
        },
        {"kind": 3, "id": {}, "parent_id": []},
    ]
    write({"odd.jsonl": [*odd, chat(said("Look.", LS), answer("a.py"))]}, tmp_path / "in")
    store = tmp_path / "new.jsonl"
    assert command(tmp_path / "in", "--out", store, "--no-card", "--format", "openai") == 0
    compare(store, find_files([tmp_path / "in"]), ledger=None, limit=LIMIT)


def test_a_source_without_a_file_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store.jsonl"
    shutil.copy(expert_path(), store)
    assert command(store, "--validate", "--source", tmp_path) == 2
    assert "--source: no file besides the store in " in capsys.readouterr().err
