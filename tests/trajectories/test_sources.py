import gzip
import io
import json
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from trajectories.sources import Document, Failure, find_files, read_documents


def positions(path: Path, **options: int) -> list[tuple[str, object]]:
    """(position without the folder, value or reason)"""
    return [
        (
            item.position.removeprefix(f"{path.parent}/").split(": ")[0],
            item.value if isinstance(item, Document) else item.reason,
        )
        for item in read_documents(path, **options)
    ]


def test_json_and_json_lines_are_told_by_content(tmp_path):
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
        (b"PAR1....", "parquet"),
        (b"[" * 100_000, "not_json"),
    ],
)
def test_bad_files_come_as_failures(tmp_path, content, reason):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert positions(path) == [("x.json", reason)]


def test_wrong_encoding_of_one_line_costs_one_line(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes('{"a": "é"}\n'.encode("latin-1") + b'{"a": 1}\n')
    assert positions(path) == [("x.jsonl:1", "not_utf8"), ("x.jsonl:2", {"a": 1})]


def test_a_line_over_the_limit_is_passed_over(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n' + '"' + "x" * 5000 + '"\n' + '{"a": 2}\n')
    assert positions(path, limit=100) == [
        ("x.jsonl:1", {"a": 1}), ("x.jsonl:2", "line_too_long"), ("x.jsonl:3", {"a": 2}),
    ]  # fmt: skip
    (tmp_path / "y.json").write_text("{\n" + " " * 5000 + "}")
    assert positions(tmp_path / "y.json", limit=100) == [("y.json", "too_large")]


def test_archives_are_streamed_member_by_member(tmp_path):
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
def test_a_cut_off_archive_gives_what_stood_before_the_cut(tmp_path, pack):
    path = tmp_path / "x.jsonl"  # compression is told by the first bytes, not by the name
    whole = "".join(json.dumps({"a": number, "pad": os.urandom(600).hex()}) + "\n" for number in range(200))
    packed = pack(whole.encode())
    path.write_bytes(packed[: len(packed) // 2])
    items = list(read_documents(path))
    assert isinstance(items[0], Document)
    assert isinstance(items[-1], Failure)
    assert items[-1].reason == "damaged_archive"


def test_folders_are_searched_sorted_and_no_file_comes_twice(tmp_path):
    for name in ("b/2.json", "b/1.json", "a.json", ".hidden/x.json", "b/.x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path, tmp_path / "a.json"], exclude=[tmp_path / "b" / "2.json"])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.json", "b/1.json"]
    with pytest.raises(FileNotFoundError):
        find_files([tmp_path / "none"])


def test_names_of_documents(tmp_path):
    assert Document(value=1, origin="x.tar!r/a__b-1.traj.json.gz").name == "a__b-1"
    assert Document(value=1, origin="r/a.jsonl", line=7).name == "a:7"
