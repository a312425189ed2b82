"""Sets of JSON on the hub are read as the files they consist of, not as what ``datasets`` guesses."""

import gzip
import json
import os
import zipfile
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of
from trajectories.sources.documents import Document, Failure, Item, read_documents
from trajectories.sources.paths import find_files, is_candidate
from trajectories.types import JSON

# What ``datasets`` makes something else of: a date, a number, a list, null; and keys that other rows lack.
ROWS: list[JSON] = [
    {"id": "1", "text": "2026-01-02", "answer": "12", "more": {"a": "[1, 20]", "b": None}},
    {"id": "2", "text": "2026-01-03T04:05:06", "answer": 13, "more": {"a": [1]}},
    {"id": "3", "text": "2026-01-04", "answer": "null"},
]
LINES = "\n".join(map(json.dumps, ROWS)) + "\n"


def read(path: Path | str) -> list[Item]:
    return list(read_documents(Path(path)))


def values(path: Path | str) -> list[JSON]:
    items = read(path)
    assert all(isinstance(item, Document) for item in items), items
    return [item.value for item in items if isinstance(item, Document)]


def failure(path: Path | str) -> Failure:
    (item,) = read(path)
    assert isinstance(item, Failure), item
    return item


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("train.jsonl", LINES.encode(), ROWS),
        ("train.jsonl.gz", gzip.compress(LINES.encode()), ROWS),
        ("train.json", LINES.encode(), ROWS),
        ("train.json", json.dumps(ROWS, indent=1).encode(), [ROWS]),
        ("train.json", json.dumps(ROWS[0], indent=1).encode(), [ROWS[0]]),
    ],
)
def test_rows_of_a_json_set_are_what_its_file_says(
    tmp_path: Path, name: str, content: bytes, wanted: list[JSON]
) -> None:
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / name
    path.write_bytes(content)
    assert (
        values(path) == values(f"hf:{tmp_path / 'set'}") == values(f"hf:{tmp_path / 'set'}@train") == wanted
    )
    names = [
        [item.name for item in read(p) if isinstance(item, Document)] for p in (path, f"hf:{path.parent}")
    ]
    assert names[0] == names[1]  # the ids that rows without any get


def test_configs_splits_and_the_key_of_the_rows_come_from_the_readme(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    readme = """---
configs:
- config_name: small
  data_files: [{split: dev, path: data/a.jsonl}, {split: test, path: data/b.jsonl}]
- config_name: nested
  data_files: data/c.json
  field: rows
dataset_info:
- config_name: small
  features: [{name: text, dtype: "timestamp[s]"}]
---
"""
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "data/a.jsonl").write_text(LINES)
    (tmp_path / "data/b.jsonl").write_text('{"text": "2026-02-03"}\n')
    (tmp_path / "data/c.json").write_text(json.dumps({"version": 1, "rows": ROWS}))
    name = f"hf:{tmp_path}:small"
    assert values(f"{name}@dev") == ROWS
    assert values(f"{name}@test") == [{"text": "2026-02-03"}]
    assert values(name) == values(f"{name}@dev+test") == [*ROWS, {"text": "2026-02-03"}]
    assert [item.position for item in read(f"{name}@test")] == [f"{name}@test!data/b.jsonl:1"]
    assert values(f"hf:{tmp_path}:nested") == [ROWS]
    (tmp_path / "data/c.json").write_text('{"version": 1}')
    assert failure(f"hf:{tmp_path}:nested").reason == "no_rows"
    wrong = failure(f"{name}@train[:1]")
    assert (wrong.reason, wrong.detail.split(" (")[0]) == (
        "unreadable", "ValueError: no split train[:1]; there are dev, test",
    )  # fmt: skip


def test_rows_of_a_table_are_the_same_as_a_file_and_as_a_set(tmp_path: Path) -> None:
    """``datasets`` writes what differs from row to row as JSON text."""
    calls: list[JSON] = [{"name": "bash", "arguments": {"command": "ls"}}, {"arguments": {"lines": [1, 20]}}]
    rows = [{"id": "1", "calls": calls, "at": "2026-01-02"}, {"id": "2", "calls": [], "at": "x"}]
    features = datasets.Features(
        {"id": datasets.Value("string"), "calls": datasets.List(datasets.Json()), "at": datasets.Json()}
    )
    (tmp_path / "set").mkdir()
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "set/train.parquet")
    assert values(tmp_path / "set/train.parquet") == values(f"hf:{tmp_path / 'set'}") == rows
    texts = pyarrow.ExtensionArray.from_storage(
        pyarrow.json_(), pyarrow.array(['{"x": [1]}', None, "no JSON"])
    )
    table = pyarrow.table(
        {"s": pyarrow.StructArray.from_arrays([texts, pyarrow.array([1, 2, 3])], ["a", "b"])}
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    assert values(tmp_path / "t.parquet") == [
        {"s": {"a": {"x": [1]}, "b": 1}}, {"s": {"b": 2}}, {"s": {"a": "no JSON", "b": 3}},
    ]  # fmt: skip


SESSION = [
    {"type": "user", "uuid": "a", "parentUuid": None, "sessionId": "s",
     "message": {"role": "user", "content": "Fix it"}},
    {"type": "assistant", "uuid": "b", "parentUuid": "a", "sessionId": "s",
     "message": {"id": "m", "role": "assistant", "content": [{"type": "text", "text": "2026-01-02"}]}},
]  # fmt: skip


def test_a_set_of_logs_is_read_as_its_files(tmp_path: Path) -> None:
    """``datasets`` would ask for the package ``teich`` to make rows of its own of them."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, SESSION)))
    name = f"hf:{tmp_path}"
    items = read(name)
    assert [item.position for item in items] == [
        f"{name}!one.jsonl:1", f"{name}!one.jsonl:2", f"{name}!two.jsonl:1", f"{name}!two.jsonl:2",
    ]  # fmt: skip
    assert values(name) == SESSION * 2
    ledger = Ledger()
    assert list(read_trajectories_of([Path(name)], ledger, named=[Path(name)])) == []
    assert {file.format_name for file in ledger.files} == {"claude-code"}


def test_without_a_connection_the_files_in_the_cache_of_the_hub_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` itself would take its own copy of the rows, with guessed types."""
    snapshot = tmp_path / "hub/datasets--acme--steps/snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "train.jsonl").write_text(LINES)
    refs = tmp_path / "hub/datasets--acme--steps/refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "copies"))
    assert values("hf:acme/steps") == ROWS
    copy = tmp_path / "copies/acme___steps/default/0.0.0/0123"
    copy.mkdir(parents=True)
    (copy / "dataset_info.json").write_text('{"builder_name": "json", "config_name": "default"}')
    assert values("hf:acme/steps") == ROWS
    (refs / "main").unlink()
    assert "acme/steps is here only as rows with guessed types" in failure("hf:acme/steps").detail


# Files that are something else than their names say.


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
        ("version https://hawser.github.com/spec/v1\r\noid sha256:00\r\nsize 12\r\n", "git lfs pull"),
        ("/annex/objects/SHA256E-s12--00.jsonl\n", "git annex get"),
        ("../../.git/annex/objects/1z/7K/SHA256E-s12--00/SHA256E-s12--00", "git annex get"),
    ],
)
@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json", "a.traj", "a.parquet", "a.jsonl.gz", "a.tar.zst", "a.eval"]
)
def test_a_file_that_was_not_fetched_says_so(tmp_path: Path, name: str, content: str, detail: str) -> None:
    (tmp_path / name).write_text(content)
    found = failure(tmp_path / name)
    assert (found.reason, found.line) == ("not_fetched", None)
    assert f"not the data: run `{detail}` in its clone" in found.detail


def test_a_text_about_pointers_is_no_pointer(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "version https://git-lfs.github.com/spec/v1\\n"}\n')
    assert values(tmp_path / "a.jsonl") == [{"text": "version https://git-lfs.github.com/spec/v1\n"}]


def test_links_that_lead_nowhere_say_why(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(".git/annex/objects/1z/7K/SHA256E-s12--00.jsonl/SHA256E-s12--00.jsonl")
    (tmp_path / "b.jsonl").symlink_to("none.jsonl")
    assert find_files([tmp_path]) == find_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    first, second = (failure(path) for path in find_files([tmp_path]))
    assert (first.reason, first.detail.split(": ")[1]) == ("not_fetched", "run `git annex get` in its clone")
    assert (second.reason, second.detail) == ("unreadable", "a link to none.jsonl, which does not exist")


@pytest.mark.timeout(20)
def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    (path,) = find_files([tmp_path])
    assert failure(path).reason == "not_a_file"
    assert failure("/dev/zero").reason == "not_a_file"


def test_a_web_page_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("<!DOCTYPE html>\n<html>\n<p>Sign in\n")
    assert failure(tmp_path / "a.jsonl").detail == "a web page; download the file itself"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.traj", "a"])
@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        # One document, over several lines whatever the name says.
        (json.dumps(ROWS[0], indent=2), [(None, ROWS[0])]),
        ("\ufeff" + json.dumps(ROWS, indent=2).replace("\n", "\r\n") + "\r\n\r\n", [(None, ROWS)]),
        ("[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n", [(None, ROWS)]),
        (json.dumps(ROWS), [(None, ROWS)]),
    ],
)
def test_one_document_is_read_whatever_the_name_says(
    tmp_path: Path, name: str, content: str, wanted: list[tuple[int | None, JSON]]
) -> None:
    (tmp_path / name).write_text(content, newline="")
    items = read(tmp_path / name)
    assert [(item.line, item.value) for item in items if isinstance(item, Document)] == wanted
    assert len(items) == len(wanted)


PRETTY = [json.dumps(row, indent=2) + "\n" for row in ROWS]
SPAN = [text.count("\n") for text in PRETTY]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_documents_over_several_lines_may_follow_each_other(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("".join(PRETTY))
    assert values(path) == ROWS
    assert [item.line for item in read(path)] == [1, 1 + SPAN[0], 1 + SPAN[0] + SPAN[1]]
    path.write_text(json.dumps(ROWS[0]) + "\n" + PRETTY[1] + "\n" + json.dumps(ROWS[2]))
    assert values(path) == ROWS
    path.write_text("[1]\n\n" + PRETTY[1])  # a list at first, and blank lines
    assert [item.line for item in read(path)] == [None if name == "a.json" else 1, 3]


def test_a_line_that_is_cut_off_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    first, second, third = map(json.dumps, ROWS)
    for lines, bad in (([first[:20], second, third], 1), ([first, second[:20], third], 2)):
        path.write_text("\n".join(lines))
        items = read(path)
        assert [item.line for item in items if isinstance(item, Failure)] == [bad]
        assert len([item for item in items if isinstance(item, Document)]) == 2


def test_a_document_that_is_cut_off_is_one_failure(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1)[:-30])
    found = failure(tmp_path / "a.json")
    assert (found.reason, found.line) == ("not_json", None)


def test_marks_of_byte_order_between_joined_files_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\ufeff{"a": 1}\r\n\ufeff{"a": 2}\r\n', newline="")
    assert values(tmp_path / "a.jsonl") == [{"a": 1}, {"a": 2}]


def test_what_is_too_large_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1))
    (item,) = read_documents(tmp_path / "a.json", limit=100)
    assert isinstance(item, Failure)
    assert item.detail == "more than 100 bytes; write one row a line (.jsonl), or raise --max-mb"
    (tmp_path / "b.jsonl").write_text("".join(PRETTY))  # longer than the limit together
    assert [
        item.value for item in read_documents(tmp_path / "b.jsonl", limit=150) if isinstance(item, Document)
    ] == ROWS


# Zstandard.


def zstandard(data: bytes) -> bytes:
    out = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(out, "zstd") as packed:
        packed.write(data)
    return bytes(out.getvalue())


def test_zstandard_is_read_from_files_and_from_members(tmp_path: Path) -> None:
    assert is_candidate("a.jsonl.zst")
    half = LINES.encode()
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard(half) + zstandard(half))
    assert values(tmp_path / "a.jsonl.zst") == ROWS * 2
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard(os.urandom(9000).hex().encode())[:500])
    assert failure(tmp_path / "b.jsonl.zst").reason == "damaged_archive"
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("c.jsonl.zst", zstandard(half))
    assert values(tmp_path / "c.zip") == ROWS


@pytest.mark.parametrize("damage", [0, 20])
def test_members_of_a_zip_in_zstandard_are_read(tmp_path: Path, damage: int) -> None:
    """Inspect writes such logs. Python's zipfile reads them from 3.14 on, so the method is patched into the bytes."""
    packed = zstandard(json.dumps(ROWS).encode())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.json", packed)
        archive.writestr("b.json", '{"b": 1}')
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for header, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.index(header) + method
        content[at : at + 2] = (93).to_bytes(2, "little")
    start = content.index(packed)
    content[start + len(packed) - damage : start + len(packed)] = bytes(damage)
    (tmp_path / "a.zip").write_bytes(content)
    first, second = read(tmp_path / "a.zip")
    assert second == Document(value={"b": 1}, origin=f"{tmp_path / 'a.zip'}!b.json")
    assert isinstance(first, Failure) if damage else first == Document(value=ROWS, origin=first.origin)
