"""The editor's commands and errors, on files of this machine."""

from pathlib import Path

import pytest

from environments.sandbox.local import LocalFiles
from environments.tools import str_replace_editor
from environments.tools.str_replace_editor import Editor, EditorError

TEXT = "one\ntwo\nthree\ntwo\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text(TEXT)
    return path


def call(command: str, path: Path | str, editor: Editor | None = None, **arguments: object) -> str:
    editor = editor or Editor(LocalFiles(Path("/no/repository")))
    return editor.edit({"command": command, "path": str(path), **arguments})


def test_view_numbers_the_lines_like_cat(file: Path) -> None:
    shown = call("view", file)
    assert shown == f"{file}, lines 1-4 of 4:\n     1\tone\n     2\ttwo\n     3\tthree\n     4\ttwo"


@pytest.mark.parametrize(
    ("view_range", "lines"), [([2, 3], "2 3"), ([3, -1], "3 4"), ("[4, 4]", "4"), (["1", "1"], "1")]
)
def test_view_range(file: Path, view_range: object, lines: str) -> None:
    shown = call("view", file, view_range=view_range).splitlines()[1:]
    assert " ".join(line.split("\t")[0].strip() for line in shown) == lines


@pytest.mark.parametrize("view_range", [[0, 1], [3, 2], [1, 5], [5, 5]])
def test_view_range_outside_the_file(file: Path, view_range: object) -> None:
    with pytest.raises(EditorError, match="lines 1 to 4"):
        call("view", file, view_range=view_range)


@pytest.mark.parametrize("view_range", [[1], [1, 2, 3], "all", 3, [1, "x"], [True, 2]])
def test_malformed_view_range(file: Path, view_range: object) -> None:
    with pytest.raises(EditorError, match="view_range has to be"):
        call("view", file, view_range=view_range)


def test_view_of_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert call("view", tmp_path / "empty").endswith("is empty.")


def test_view_cuts_a_long_file(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 100_000)
    assert len(call("view", tmp_path / "long")) < str_replace_editor.VIEW_LIMIT + 300


def test_view_of_a_folder_is_two_levels_deep_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.py").touch()
    assert call("view", tmp_path).splitlines()[1:] == [
        f"{tmp_path}/a.py",
        f"{tmp_path}/b/",
        f"{tmp_path}/b/c/",
    ]


def test_folders_can_only_be_viewed_completely(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match="view_range"):
        call("view", tmp_path, view_range=[1, 2])
    with pytest.raises(EditorError, match="only view"):
        call("str_replace", tmp_path, old_str="a", new_str="b")


def test_create(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    assert call("create", path, file_text="a\nb\n") == f"Created {path} (2 lines)."
    assert path.read_text() == "a\nb\n"


def test_create_does_not_overwrite(file: Path) -> None:
    with pytest.raises(EditorError, match="there already"):
        call("create", file, file_text="")
    assert file.read_text() == TEXT


def test_create_needs_the_folder(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match="does not exist"):
        call("create", tmp_path / "no" / "a", file_text="")


def test_str_replace_shows_the_edited_lines(file: Path) -> None:
    shown = call("str_replace", file, old_str="three", new_str="3\n3.5")
    assert file.read_text() == "one\ntwo\n3\n3.5\ntwo\n"
    assert shown.splitlines()[0] == f"Edited {file}, lines 1-5 now:"
    assert "     4\t3.5" in shown


def test_str_replace_without_new_str_deletes(file: Path) -> None:
    call("str_replace", file, old_str="three\n")
    assert file.read_text() == "one\ntwo\ntwo\n"


def test_str_replace_of_missing_text(file: Path) -> None:
    with pytest.raises(EditorError, match="does not occur"):
        call("str_replace", file, old_str="four", new_str="4")


def test_str_replace_of_ambiguous_text(file: Path) -> None:
    with pytest.raises(EditorError, match=r"occurs 2 times in .* \(lines 2, 4\)"):
        call("str_replace", file, old_str="two", new_str="2")
    assert file.read_text() == TEXT


@pytest.mark.parametrize(("old", "message"), [("", "empty"), ("one", "the same")])
def test_str_replace_that_changes_nothing(file: Path, old: str, message: str) -> None:
    with pytest.raises(EditorError, match=message):
        call("str_replace", file, old_str=old, new_str=old)


def test_bytes_that_were_not_edited_stay(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"\tone\r\n\xff two")
    call("str_replace", path, old_str="two", new_str="2")
    assert path.read_bytes() == b"\tone\r\n\xff 2"


@pytest.mark.parametrize(
    ("line", "text", "result"),
    [(0, "x", "x\none\n"), (1, "x\n", "one\nx\n"), ("1", "x\n\ny", "one\nx\n\ny\n")],
)
def test_insert(tmp_path: Path, line: object, text: str, result: str) -> None:
    path = tmp_path / "a"
    path.write_text("one\n")
    assert call("insert", path, insert_line=line, new_str=text).startswith(f"Edited {path}")
    assert path.read_text() == result


@pytest.mark.parametrize("line", [-1, 5, "x", None, 1.5])
def test_insert_at_an_invalid_line(file: Path, line: object) -> None:
    with pytest.raises(EditorError, match="insert_line"):
        call("insert", file, insert_line=line, new_str="x")


@pytest.fixture
def editor() -> Editor:
    return Editor(LocalFiles(Path("/no/repository")))


def test_undo_goes_back_edit_by_edit(tmp_path: Path, editor: Editor) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    call("create", path, editor, file_text="one\n")
    call("str_replace", path, editor, old_str="one", new_str="two")
    call("create", other, editor, file_text="kept\n")
    call("insert", path, editor, insert_line=1, new_str="x")
    call("undo_edit", path, editor)
    assert path.read_text() == "two\n"
    call("undo_edit", path, editor)
    assert path.read_text() == "one\n"
    call("undo_edit", path, editor)
    assert not path.exists()
    assert other.read_text() == "kept\n"
    with pytest.raises(EditorError, match="no edit"):
        call("undo_edit", path, editor)


def test_a_failed_edit_leaves_nothing_to_undo(file: Path, editor: Editor) -> None:
    with pytest.raises(EditorError):
        call("str_replace", file, editor, old_str="two", new_str="2")
    with pytest.raises(EditorError, match="no edit"):
        call("undo_edit", file, editor)


def test_the_undo_history_is_bounded(tmp_path: Path, editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(str_replace_editor, "HISTORY_LIMIT", 25)
    path = tmp_path / "a"
    path.write_text("0 23456789")
    for number in range(1, 4):
        call("str_replace", path, editor, old_str=f"{number - 1} ", new_str=f"{number} ")
    call("undo_edit", path, editor)
    call("undo_edit", path, editor)
    assert path.read_text() == "1 23456789"
    with pytest.raises(EditorError, match="no edit"):
        call("undo_edit", path, editor)


def test_many_occurrences_give_a_short_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("e\n" * 300_000)
    with pytest.raises(EditorError, match=r"occurs 300000 times .* 100, …\)") as caught:
        call("str_replace", path, old_str="e", new_str="x")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": "open", "path": "/a"}, "Unknown command 'open'"),
        ({"path": "/a"}, "Unknown command None"),
        ({"command": "view"}, "path is missing"),
        ({"command": "view", "path": "a.py"}, "not absolute. Did you mean /testbed/a.py"),
        ({"command": "view", "path": "/no/such/file"}, "no file or folder"),
        ({"command": "create", "path": "/no"}, "file_text is missing"),
        ({"command": "create", "path": "/no", "file_text": 1}, "file_text has to be text"),
        ({"command": "create", "path": "/no", "file_text": "\ud800"}, "no file can hold"),
        ({"command": "view", "path": "/a\0b"}, "no file or folder"),
        ({"command": "view", "path": f"/{'a' * 300}"}, "no file or folder"),
        ({"command": "view", "path": f"{__file__}/a"}, "no file or folder"),
        ({"command": "create", "path": f"{__file__}/a", "file_text": ""}, "does not exist: make it first"),
        ({"command": "view", "path": __file__, "view_range": "[" * 100_000}, "view_range has to be"),
    ],
)
def test_wrong_calls(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(EditorError, match=message):
        Editor(LocalFiles(Path("/no/repository"))).edit(arguments)
