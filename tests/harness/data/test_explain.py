"""``--explain`` says what each file is read as and why; alone it writes nothing."""

import json
from pathlib import Path

import pytest

from harness import cli
from harness.convert import main

CALL = {"type": "function", "id": "c1", "function": {"name": "bash", "arguments": "{}"}}
CHAT = {
    "messages": [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
    ]
}


def explain(*arguments: object) -> int:
    return cli.run(lambda: main([*map(str, arguments), "--explain"]))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "chat.jsonl").write_text(f"{json.dumps(CHAT)}\n" * 2)
    (folder / "odd.json").write_text('{"silly": 1}')
    (folder / "notes.txt").write_text("x")
    return folder


def test_it_names_format_structure_and_place(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert explain("logs") == 0
    out = capsys.readouterr().out
    for words in (
        "openai",
        "`messages`: `tool_calls`",
        "logs/chat.jsonl",
        "unknown_format",
        "not_a_data_file",
    ):
        assert words in out
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]  # nothing was written
    assert explain("logs", "--format", "openai") == 0
    assert "named by --format" in capsys.readouterr().out


def test_with_out_it_converts_too(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(logs, "--out", tmp_path / "o.jsonl", "--no-card") == 0
    assert "`messages`: `tool_calls`" in capsys.readouterr().out
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["files"][0]["recognised_by"] == {"`messages`: `tool_calls`": 2}


def test_what_holds_nothing_ends_with_an_error(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(logs / "odd.json") == 1
    assert "no trajectory was found" in capsys.readouterr().err
    assert explain(logs / "nowhere.json") == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ids", "ids: nowhere.txt: No such file or directory"),
        ("--task-from", "nowhere.txt: no such file or folder"),
    ],
)
def test_files_that_options_name_must_exist(
    option: str, message: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(lambda: main([str(logs), "--out", str(logs / "o.jsonl"), option, "nowhere.txt"])) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ids", "ids.txt"], "--ids: for a conversion, and --out is missing"),
        (
            ["--filters", "clean", "--workers", "2"],
            "--filters, --workers: for a conversion, and --out is missing",
        ),
        (["--task-from", "tasks.jsonl"], "--task-from: for a conversion, and --out is missing"),
        (["--stats"], "ask for one of them"),
    ],
)
def test_no_option_is_without_effect(
    words: list[str], message: str, logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(logs, *words) == 2
    assert message in capsys.readouterr().err
