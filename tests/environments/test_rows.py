"""Names of tables on the hub, in the syntax of ``harness.convert``."""

import gzip
import json
from pathlib import Path

import datasets
import pytest

from environments.math.tasks import load_math_tasks
from environments.rows import file_rows, hub_rows, is_hub_name, split_hub_name


class Table:
    """A builder of ``datasets`` for a set of Parquet files."""

    name = "parquet"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def download_and_prepare(self) -> None:
        self.asked.append("prepared")

    def as_dataset(self, *, split: str) -> list[dict[str, str]]:
        self.asked.append(split)
        return [{"problem": "1+1"}]


@pytest.mark.parametrize("name", ["acme/sums", "hf:acme/sums", "acme/sums:easy@dev", "hf:acme/sums:easy@dev"])
def test_hub_names_may_have_a_prefix_a_config_and_a_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    table = Table()

    def load_builder(name: str, config: str | None) -> Table:
        asked.append((name, config))
        return table

    monkeypatch.setattr("datasets.load_dataset_builder", load_builder)
    assert is_hub_name(name)
    assert list(hub_rows(name, "test", config="main", error=ValueError)) == [
        ({"problem": "1+1"}, "acme/sums:1")
    ]
    config, split = ("easy", "dev") if "@" in name else ("main", "test")
    assert (asked, table.asked) == ([("acme/sums", config)], ["prepared", split])


def test_a_local_folder_may_take_the_place_of_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"problem": "1+1", "answer": 2}\n')
    assert not is_hub_name(str(folder))
    assert split_hub_name(f"hf:{folder}@train") == (str(folder), None, "train")
    (task,) = load_math_tasks(f"hf:{folder}@train")
    assert (task.instance_id, task.answer) == ("sums-0", "2")


# What ``datasets`` makes something else of: a date, a number, a list, null; and a key that one row lacks.
ROWS: list[dict[str, object]] = [
    {"id": "1", "text": "2026-01-02", "answer": "12", "more": {"a": "[1, 20]"}},
    {"id": "2", "text": "2026-01-03T04:05:06", "answer": 13, "more": {"a": [1]}},
    {"id": "3", "text": "2026-01-04", "answer": "null"},
]


class RowsError(ValueError):
    pass


def of_file(path: Path) -> list[object]:
    return [row for row, _ in file_rows(path, names=(), error=RowsError)]


def of_set(folder: Path, split: str = "train") -> list[object]:
    return [row for row, _ in hub_rows(f"hf:{folder}", split, error=RowsError)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.jsonl", "\r\n\r\n".join(map(json.dumps, ROWS))),
        ("train.jsonl", json.dumps(ROWS)),
        ("train.json", "\n".join(map(json.dumps, ROWS)) + "\n"),
        ("train.json", json.dumps(ROWS)),
        ("train.json", "\ufeff" + json.dumps(ROWS, indent=1)),
        ("train.json", json.dumps({row["id"]: row for row in ROWS}, indent=1)),
    ],
)
def test_rows_of_a_json_set_are_what_its_file_says(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_text(content, newline="")
    assert of_file(tmp_path / "set" / name) == ROWS
    assert of_set(tmp_path / "set") == ROWS


def test_packed_files_configs_and_splits_of_a_json_set(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    readme = """---
configs:
- config_name: small
  data_files: [{split: dev, path: data/a.jsonl.gz}, {split: test, path: data/*.json}]
- config_name: nested
  data_files: data/b.json
  field: rows
---
"""
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "data/a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    (tmp_path / "data/b.json").write_text(json.dumps({"version": 1, "rows": ROWS}))
    assert of_set(Path(f"{tmp_path}:small"), "dev") == ROWS
    assert of_set(Path(f"{tmp_path}:small"), "dev[1:]+dev[:1]") == [*ROWS[1:], ROWS[0]]
    assert of_set(Path(f"{tmp_path}:nested@train")) == ROWS
    with pytest.raises(RowsError, match=r"cannot be loaded.*Unknown split"):
        of_set(Path(f"{tmp_path}:small"), "none")


def test_rows_of_a_table_are_the_same_as_a_file_and_as_a_set(tmp_path: Path) -> None:
    mixed = [{"a": {"x": 1}}, {"a": {"y": ["2026-01-02"]}}]
    rows = [{"id": "1", "cells": mixed, "none": None}, {"id": "2", "cells": [], "none": None}]
    features = datasets.Features(
        {"id": datasets.Value("string"), "cells": datasets.List(datasets.Json()), "none": datasets.Json()}
    )
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "set/train.parquet")
    assert of_file(tmp_path / "set/train.parquet") == of_set(tmp_path / "set") == rows


def test_without_a_connection_the_files_in_the_cache_of_the_hub_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` itself would take its own copy of the rows, with guessed types."""
    hub, copies = tmp_path / "hub", tmp_path / "copies"
    snapshot = hub / "datasets--acme--sums/snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    refs = hub / "datasets--acme--sums/refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(copies))
    assert [row for row, _ in hub_rows("acme/sums", "train", error=RowsError)] == ROWS
    copy = copies / "acme___sums/default/0.0.0/0123"
    copy.mkdir(parents=True)
    (copy / "dataset_info.json").write_text('{"builder_name": "json", "config_name": "default"}')
    assert [row for row, _ in hub_rows("acme/sums", "train", error=RowsError)] == ROWS
    (refs / "main").unlink()
    with pytest.raises(
        RowsError, match="cannot reach the hub, and acme/sums is here only as rows with guessed"
    ):
        list(hub_rows("acme/sums", "train", error=RowsError))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
        ("/annex/objects/SHA256E-s12--00.parquet\n", "git annex get"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet", "a.jsonl.gz"])
def test_a_file_that_was_not_fetched_says_so(tmp_path: Path, name: str, content: str, wanted: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RowsError, match=f"{name}: a .* pointer, not the data: run `{wanted}`"):
        of_file(tmp_path / name)


def test_the_line_that_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": \n')
    with pytest.raises(RowsError, match=r"a\.jsonl:3: not JSON"):
        of_file(path)
    path.write_text('{"a": \n{"a": 1}\n')
    with pytest.raises(RowsError, match=r"a\.jsonl:1: not JSON"):
        of_file(path)
    path.write_text("")
    assert of_file(path) == []
    path.write_text("1\n")
    with pytest.raises(RowsError, match="a task is an object, this is of type int"):
        of_file(path)
