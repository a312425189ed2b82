import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from trajectories.sources.documents import DEFAULT_LIMIT, Document, Failure, read_documents
from trajectories.sources.paths import find_files


def positions(path: Path, *, limit: int = DEFAULT_LIMIT) -> list[tuple[str, object]]:
    """Return (position without the folder, value or reason) of each document."""
    return [
        (
            item.position.removeprefix(f"{path.parent}/").split(": ")[0],
            item.value if isinstance(item, Document) else item.reason,
        )
        for item in read_documents(path, limit=limit)
    ]


def test_json_and_json_lines_are_detected_from_content(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{\n "a": 1\n}\n')
    (tmp_path / "b.json").write_text('{"a": 1}\n\n{"a": 2}\n')
    (tmp_path / "c.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\nnonsense\n{"a": 2}')
    assert positions(tmp_path / "a.json") == [("a.json", {"a": 1})]
    assert positions(tmp_path / "b.json") == [("b.json", {"a": 1}), ("b.json:3", {"a": 2})]
    assert positions(tmp_path / "c.jsonl") == [
        ("c.jsonl:1", {"a": 1}), ("c.jsonl:2", "not_json"), ("c.jsonl:3", {"a": 2}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b'{\n"a": [1, 2', "not_json"),
        ('{\n"a": "é"}'.encode("latin-1"), "not_utf8"),
        ('{"a": 1}'.encode("utf-16"), "not_utf8"),
        (b"PAR1....", "unreadable"),
        (b"[" * 100_000, "not_json"),
    ],
)
def test_bad_files_become_failures(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert positions(path) == [("x.json", reason)]


def test_wrong_encoding_of_one_line_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"a": "é"}\n'.encode("latin-1") + b'{"a": 1}\n')
    assert positions(path) == [("x.jsonl:1", "not_utf8"), ("x.jsonl:2", {"a": 1})]


def test_a_line_over_the_limit_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n' + '"' + "x" * 5000 + '"\n' + '{"a": 2}\n')
    assert positions(path, limit=100) == [
        ("x.jsonl:1", {"a": 1}), ("x.jsonl:2", "line_too_long"), ("x.jsonl:3", {"a": 2}),
    ]  # fmt: skip
    (tmp_path / "y.json").write_text("{\n" + " " * 5000 + "}")
    assert positions(tmp_path / "y.json", limit=100) == [("y.json", "too_large")]


def test_archives_are_streamed_member_by_member(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name, content in {
            "r/a.traj": b'{\n"a": 1}',
            "r/b.jsonl.gz": gzip.compress(b'{"a": 2}\n{"a": 3}\n'),
            "r/c.json.xz": lzma.compress(b'{"a": 4}'),
            "r/notes.md": b"# x",
            "r/._a.traj": b"junk",
            "r/in.tar": b"junk",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert positions(path) == [
        ("x.tar.xz!r/a.traj", {"a": 1}),
        ("x.tar.xz!r/b.jsonl.gz:1", {"a": 2}),
        ("x.tar.xz!r/b.jsonl.gz:2", {"a": 3}),
        ("x.tar.xz!r/c.json.xz", {"a": 4}),
        ("x.tar.xz!r/notes.md", "not_a_data_file"),
        ("x.tar.xz!r/in.tar", "nested_archive"),
    ]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_truncated_archive_gives_the_members_before_the_cut(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x.jsonl"  # compression is detected from the first bytes, not by the name
    whole = "".join(json.dumps({"a": number, "pad": os.urandom(600).hex()}) + "\n" for number in range(200))
    packed = pack(whole.encode())
    path.write_bytes(packed[: len(packed) // 2])
    items = list(read_documents(path))
    assert isinstance(items[0], Document)
    assert isinstance(items[-1], Failure)
    assert items[-1].reason == "damaged_archive"


def test_folders_are_searched_in_order_and_each_file_is_found_once(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/1.json", "a.json", ".hidden/x.json", "b/.x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path, tmp_path / "a.json"], exclude=[tmp_path / "b" / "2.json"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.json", "b/1.json"]
    with pytest.raises(FileNotFoundError):
        find_files([tmp_path / "none"])


def test_names_of_documents(tmp_path: Path) -> None:
    assert Document(value=1, origin="x.tar!r/a__b-1.traj.json.gz").name == "a__b-1"
    assert Document(value=1, origin="r/a.jsonl", line=7).name == "a:7"


def zipped(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_zips_are_read_member_by_member_and_no_path_leads_out(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "x.zip",
        {
            "r/": b"",
            "r/a.traj": b'{\n"a": 1}',
            "../../etc/b.jsonl": b'{"a": 2}\nnonsense\n',
            "/c.json.gz": gzip.compress(b'{"a": 4}'),
            "r/notes.md": b"# x",
            "__MACOSX/r/._a.traj": b"junk",
            "r/in.zip": b"junk",
            "r/in.tar.gz": b"junk",
            "r/t.parquet": b"PAR1junk",
        },
    )
    assert positions(path) == [
        ("x.zip!r/a.traj", {"a": 1}),
        ("x.zip!../../etc/b.jsonl:1", {"a": 2}),
        ("x.zip!../../etc/b.jsonl:2", "not_json"),
        ("x.zip!/c.json.gz", {"a": 4}),
        ("x.zip!r/notes.md", "not_a_data_file"),
        ("x.zip!r/in.zip", "nested_archive"),
        ("x.zip!r/in.tar.gz", "nested_archive"),
        ("x.zip!r/t.parquet", "packed_parquet"),
    ]
    assert sorted(found.name for found in tmp_path.iterdir()) == ["x.zip"]


@pytest.mark.parametrize(
    "how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_member_of_a_zip_costs_that_member(tmp_path: Path, how: int) -> None:
    lines = "".join(json.dumps({"a": number}) + "\n" for number in range(2000)).encode()
    path = zipped(tmp_path / "x.zip", {"a.jsonl": lines, "b.json": b'{"b": 1}'}, how)
    content = bytearray(path.read_bytes())
    middle = content.index(b"a.jsonl") + 400
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    items = list(read_documents(path))
    bad = [item for item in items if isinstance(item, Failure)]
    assert bad[-1].reason == "damaged_member"
    assert bad[-1].origin == f"{path}!a.jsonl"
    assert items[-1] == Document(value={"b": 1}, origin=f"{path}!b.json")


def test_encrypted_members_are_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.json": b'{"a": 1}', "b.json": b'{"b": 1}'})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the list of members
    path.write_bytes(content)
    assert positions(path) == [("x.zip!a.json", "encrypted"), ("x.zip!b.json", {"b": 1})]


def test_zip_bombs_end_at_the_limit(tmp_path: Path) -> None:
    bomb = b"[" + b" " * 3_000_000
    path = zipped(
        tmp_path / "x.zip", {"a.json": bomb, "b.jsonl": bomb + b'\n{"b": 1}\n', "c.json": b'{"c": 1}'}
    )
    assert path.stat().st_size < 20_000
    assert positions(path, limit=1000) == [
        ("x.zip!a.json", "too_large"),
        ("x.zip!b.jsonl:1", "line_too_long"),
        ("x.zip!b.jsonl:2", {"b": 1}),
        ("x.zip!c.json", {"c": 1}),
    ]


def test_zips_wrong_in_any_byte_end_in_failures(tmp_path: Path) -> None:
    """Break every byte of the headers and of the list of members, and cut at every length."""
    members = {"a.jsonl": b'{"a": 1}\n{"a": 2}\n', "b.json": b'{"b": 1}'}
    whole = zipped(tmp_path / "x.zip", members).read_bytes()
    path = tmp_path / "y.zip"
    outcomes = set()
    for position in range(len(whole)):
        for wrong in (whole[:position], whole[:position] + b"\xff" + whole[position + 1 :]):
            path.write_bytes(wrong)
            outcomes |= {
                item.reason for item in read_documents(path, limit=1000) if isinstance(item, Failure)
            }
    assert {"damaged_archive", "damaged_member", "encrypted", "unknown_compression", "not_json"} <= outcomes


def test_parquet_is_read_row_by_row(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "messages": [[{"role": "user", "content": "x" * size, "calls": calls}] for size, calls in
                         [(1, None), (5000, [{"a": 1, "b": None}]), (2, [{"a": None, "b": b"\xff"}])]],
            "none": [None, None, None],
        }
    )  # fmt: skip
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=1)
    assert positions(path, limit=1000) == [
        ("x.parquet:1", {"messages": [{"role": "user", "content": "x"}]}),
        ("x.parquet:2", "line_too_long"),
        ("x.parquet:3", {"messages": [{"role": "user", "content": "xx", "calls": [{"b": "/w=="}]}]}),
    ]
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 40 + content[80:])
    assert positions(path)[-1] == ("x.parquet", "unreadable")
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(content))
    assert positions(tmp_path / "x.parquet.gz") == [("x.parquet.gz", "packed_parquet")]


def test_a_data_set_is_streamed_split_by_split(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"a": {"x": 1}}\n{"a": {"y": "2"}}\n')
    (folder / "test.jsonl").write_text('{"a": {"x": 3}}\n')
    name = Path(f"hf:{folder}")
    assert find_files([name]) == [name]
    found = [(item.position, item.value) for item in read_documents(name) if isinstance(item, Document)]
    train = [(f"{name}!train.jsonl:1", {"a": {"x": 1}}), (f"{name}!train.jsonl:2", {"a": {"y": "2"}})]
    assert found == [*train, (f"{name}!test.jsonl:1", {"a": {"x": 3}})]
    (only,) = read_documents(Path(f"{name}@test"))
    assert isinstance(only, Document)
    assert (only.position, only.value) == (f"{name}@test!test.jsonl:1", {"a": {"x": 3}})


class Table:
    """A builder of ``datasets`` for a set of Parquet files."""

    name = "parquet"

    def as_streaming_dataset(self, *, split: str) -> list[dict[str, int]]:
        assert split == "train"
        return [{"a": 1}]


def test_a_bare_name_is_a_data_set_unless_there_is_a_local_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load_builder(name: str, config: str | None) -> Table:
        asked.append((name, config))
        return Table()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.load_dataset_builder", load_builder)
    for name in ("acme/steps:small@train", "hf:acme/steps:small@train"):
        assert find_files([Path(name)]) == [Path(name)]
        (row,) = read_documents(Path(name))
        assert isinstance(row, Document)
        assert (row.position, row.value) == (f"{name}!train:1", {"a": 1})
    assert asked == [("acme/steps", "small")] * 2
    for name in ("acme/steps.jsonl", "../steps", "steps", "a/b/c"):
        with pytest.raises(FileNotFoundError):
            find_files([Path(name)])
    (tmp_path / "acme/steps").mkdir(parents=True)
    (tmp_path / "acme/steps/b.json").write_text("{}")
    assert find_files([Path("acme/steps")]) == [Path("acme/steps/b.json")]


@pytest.mark.parametrize("name", ["hf:nobody/nothing", "hf:", "hf:nobody/nothing:x@train"])
def test_a_data_set_that_cannot_be_loaded_is_a_failure(name: str) -> None:
    (item,) = read_documents(Path(name))
    assert isinstance(item, Failure)
    assert item.reason == "unreadable"
    assert "without the hub give a local folder or file" in item.detail
