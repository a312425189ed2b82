"""JSON Lines that a kill cut off are read, fixed and continued; anything else that is broken is named."""

import json
from pathlib import Path

import pytest

from harness.cli import UserError
from harness.jsonl import append_rows, drop_torn_line, read_objects, read_rows
from harness.run_folder import RunFolder

ROWS = [{"name": "a", "n": 1}, {"name": "é\ud83d", "n": 0.1}]


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """Two rows with a blank line between, and a line cut inside a character."""
    path = tmp_path / "rows.jsonl"
    append_rows(path, ROWS[:1])
    with path.open("ab") as out:
        out.write(b"\n")
    append_rows(path, ROWS[1:])
    with path.open("ab") as out:
        out.write('{"name": "é'.encode()[:-1])
    return path


def test_a_torn_last_line_is_skipped_and_reported(torn: Path) -> None:
    numbers: list[int] = []
    found = list(read_objects(torn, on_torn_line=numbers.append))
    assert [line.fields for line in found] == read_rows(torn) == ROWS
    assert numbers == [4]
    with torn.open("rb") as lines:
        lines.seek(found[1].offset)
        assert json.loads(lines.readline()) == ROWS[1]


def test_rows_are_appended_behind_a_torn_line_that_was_dropped(torn: Path) -> None:
    drop_torn_line(torn)
    append_rows(torn, ROWS)
    assert read_rows(torn) == ROWS * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1\n{}\n', "not JSON"), ("[1]\n", "not a JSON object but list"), (b"\xff\n", "not JSON")],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=rf"rows.jsonl:1: {message}"):
        read_rows(path)


def test_a_missing_or_malformed_field_is_named(torn: Path) -> None:
    line = next(read_objects(torn))
    assert line.get("n", float) == 1.0
    with pytest.raises(UserError, match=r"rows.jsonl:1: the line lacks 'm'"):
        line.get("m", int)
    with pytest.raises(UserError, match=r"rows.jsonl:1: 'name' is 'a'"):
        line.get("name", int)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    drop_torn_line(tmp_path / "none.jsonl")
    assert read_rows(tmp_path / "none.jsonl") == []


def test_a_resumed_stage_forgets_the_rows_beyond_its_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    rows = [{"stage": stage, "step": step, "x": 0.1} for stage in ("sft", "srl") for step in (1, 2, 3)]
    folder.append(folder.samples, rows)
    kept = folder.samples.read_text().splitlines(keepends=True)[:5]
    with folder.samples.open("a") as out:
        out.write('{"stage": "srl", "st')
    RunFolder(tmp_path, writes=False).forget_after("srl", 2)
    assert folder.samples.read_text().endswith('"st')
    folder.forget_after("srl", 2)
    assert folder.samples.read_text() == "".join(kept)
    assert not folder.metrics.exists()
