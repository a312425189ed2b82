"""SEARCH/REPLACE edits: reading and applying."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from srl_agent.scaffolds.search_replace import FORM, Edit, apply_edits, parse_edits
from tests.scripted_answers import render_edits

EDIT = "<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE"
FILES = {"pkg/a.py": "x = 1\ny = 1\n", "b.py": "x = 1\n", "notes.txt": "x = 1\n"}


def paths(answer: str) -> list[str]:
    parsed = parse_edits(answer)
    assert parsed.problems == ()
    assert {(edit.search, edit.replace) for edit in parsed.edits} <= {("x = 1\n", "x = 2\n")}
    return [edit.path for edit in parsed.edits]


def outcome(search: str, new: str, text: str | None, path: str = "a.txt") -> tuple[str | None, str]:
    """Return the text after one edit (None if unchanged), and the report on the edit."""
    applied = apply_edits([Edit(path=path, search=search, replace=new)], {path: text}.get)
    return applied.files.get(path), str(applied.outcomes[0])


# --- reading -------------------------------------------------------------------------------------------------------


def test_the_form_of_the_prompt_is_read() -> None:
    (edit,) = parse_edits(f"<think>Hm.</think>\n\n{FORM}").edits
    assert edit == Edit(
        path="path/to/file.py", search="lines of the file\n", replace="lines that replace them\n"
    )


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n### pkg/a.py\n{EDIT}\n```",
        f"```\n### pkg/a.py\n{EDIT}\n```",
        f"### pkg/a.py\n{EDIT}",
        f"### `pkg/a.py`\n```python\n{EDIT}\n```",
        f"## pkg/a.py:\n\nThe cause is this.\n\n```python\n{EDIT}\n```",
        f"```python pkg/a.py\n{EDIT}\n```",
        f"```python:pkg/a.py\n{EDIT}\n```",
        f"```pkg/a.py\n{EDIT}\n```",
        f"I change this:\n\npkg/a.py\n```python\n{EDIT}\n```",
        f"**pkg/a.py**\n~~~~\n{EDIT}\n~~~~",
        f"```python\n### pkg/a.py\n{EDIT}\n```".replace("\n", "\r\n"),
        f"<solution>\n```python\n### pkg/a.py\n{EDIT}\n```\n</solution>",
        f"```python\n# pkg/a.py\n{EDIT}\n```",
        f"```python\n### pkg/a.py\n# fix\n{EDIT}\n```",
    ],
)
def test_the_ways_models_write_it(answer: str) -> None:
    assert paths(answer) == ["pkg/a.py"]


def test_several_blocks_and_several_edits_a_block() -> None:
    other = EDIT.replace("x", "y")
    answer = (
        f"```python\n### a.py\n{EDIT}\n{other}\n### b.py\n{EDIT}\n```\nAnd:\n```python\n### c.py\n{EDIT}\n```"
    )
    parsed = parse_edits(answer)
    assert [(edit.path, edit.search) for edit in parsed.edits] == [
        ("a.py", "x = 1\n"), ("a.py", "y = 1\n"), ("b.py", "x = 1\n"), ("c.py", "x = 1\n"),
    ]  # fmt: skip


def test_the_same_edit_twice_counts_once() -> None:
    assert paths(f"### a.py\n{EDIT}\n{EDIT}") == ["a.py"]


@pytest.mark.parametrize(
    "answer",
    [
        "<think>\n```python\n### a.py\n{0}\n```\n</think>\n",
        "<think>I could write\n### a.py\n{0}\n",  # cut off while it was thinking
        "### a.py\n{0}\nNo, that is wrong.\n</think>\nI do not know.",  # the template opened the thinking
        "<think>a</think><think>\n### a.py\n{0}\n</think>",
    ],
)
def test_edits_inside_the_thinking_never_count(answer: str) -> None:
    assert paths(answer.format(EDIT)) == []
    assert paths(answer.format(EDIT) + f"\n### b.py\n{EDIT}") in ([], ["b.py"])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (EDIT, "an edit without a path: 'x = 1'"),
        (f"```python\n### a.py\n{EDIT}\n```\n```python\n{EDIT}\n```", "an edit without a path"),
        ("### a.py\n<<<<<<< SEARCH\nx\n=======\ny\n", "edit of a.py: no >>>>>>> REPLACE at its end"),
        ("### a.py\n<<<<<<< SEARCH\nx\n>>>>>>> REPLACE", "0 lines of ======= where one is meant"),
        (
            "### a.py\n<<<<<<< SEARCH\nx\n=======\ny\n=======\nz\n>>>>>>> REPLACE",
            "2 lines of ======= where one is meant",
        ),
        (f"### a.py\n<<<<<<< SEARCH\nx\n{EDIT}", "a second SEARCH before the REPLACE of the first"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_no_guess(answer: str, problem: str) -> None:
    parsed = parse_edits(answer)
    assert len(parsed.problems) == 1
    assert problem in parsed.problems[0]
    assert all(edit == Edit(path="a.py", search="x = 1\n", replace="x = 2\n") for edit in parsed.edits)


def test_an_answer_without_edits() -> None:
    assert parse_edits("I would change a.py.\n```python\nx = 2\n```") == parse_edits("")


# --- applying ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "new", "text", "after"),
    [
        ("x = 1\n", "x = 2\n", "x = 1\ny = 1\n", "x = 2\ny = 1\n"),
        ("x\n", "y\n", "x", "y"),  # no newline at the end, and none after
        ("x\n", "", "a\nx\nb\n", "a\nb\n"),  # whole lines go
        ("x\n", "\n", "a\nx\nb\n", "a\n\nb\n"),
        ("a\nb\n", "c\n", "a\r\nb\r\n", "c\r\n"),  # line ends stay
        ("x\n", "y\n", "x\nmax\nx\n", "y\nmax\ny\n"),  # every occurrence, whole lines first
        ("return a\n", "return b\n", "def f():\n    return a\n", "def f():\n    return b\n"),
        ("", "one\n", None, "one\n"),
        ("", "one\n", "\n", "one\n"),
    ],
)
def test_applied(search: str, new: str, text: str | None, after: str) -> None:
    assert outcome(search, new, text)[0] == after


def test_occurrences_are_counted() -> None:
    assert outcome("x\n", "y\n", "x\nx\n") == ("y\ny\n", "a.txt: applied at 2 places")


@pytest.mark.parametrize(
    ("search", "new", "text", "reason"),
    [
        ("z\n", "y\n", "x\n", "SEARCH does not occur in the file"),
        ("x \n", "y\n", "x\n", "SEARCH does not occur"),
        ("\n", "y\n", "", "SEARCH does not occur"),
        ("x\n", "x\n", "x\n", "it changes nothing"),
        ("", "y\n", "x\n", "SEARCH is empty, and the file has text in it"),
        ("x\n", "y\n", None, "there is no such file"),
    ],
)
def test_not_applied(search: str, new: str, text: str | None, reason: str) -> None:
    after, said = outcome(search, new, text)
    assert after is None
    assert said.startswith(f"a.txt: not applied: {reason}")


@pytest.mark.parametrize(
    "path", ["../x.py", "/etc/passwd", "a/../../x", ".git/hooks/pre-commit", "/testbed/../x", "."]
)
def test_paths_outside_the_repository(path: str) -> None:
    assert outcome("", "y\n", None, path) == (None, f"{path}: not applied: not a path inside the repository")


@pytest.mark.parametrize("path", ["a/b.py", "b/b.py", "./b.py", "/testbed/b.py", "pkg/../b.py"])
def test_paths_as_diffs_and_shells_write_them(path: str) -> None:
    applied = apply_edits([Edit(path=path, search="x = 1\n", replace="x = 2\n")], FILES.get)
    assert dict(applied.files) == {"b.py": "x = 2\n"}


def test_a_real_folder_a_is_not_stripped() -> None:
    files = {"a/b.py": "x = 1\n", "b.py": "x = 1\n"}
    applied = apply_edits([Edit(path="a/b.py", search="x = 1\n", replace="x = 2\n")], files.get)
    assert set(applied.files) == {"a/b.py"}


def test_edits_build_on_each_other_and_those_that_fit_count() -> None:
    parsed = parse_edits(
        f"### pkg/a.py\n{EDIT}\n{EDIT.replace('2', '3').replace('1', '2')}\n### none.py\n{EDIT}"
    )
    applied = apply_edits(parsed.edits, FILES.get)
    assert dict(applied.files) == {"pkg/a.py": "x = 3\ny = 1\n"}
    assert dict(applied.before) == {"pkg/a.py": FILES["pkg/a.py"]}
    assert [outcome.refused for outcome in applied.outcomes] == [None, None, "there is no such file"]


def test_a_syntax_error_leaves_nothing_of_the_answer() -> None:
    edits = [
        Edit(path="pkg/a.py", search="x = 1\n", replace="x = (\n"),
        Edit(path="b.py", search="x = 1\n", replace="x = 2\n"),
    ]
    applied = apply_edits(edits, FILES.get)
    assert applied.files == {}
    assert applied.rejected == "pkg/a.py would have a syntax error: '(' was never closed (line 1)"


@pytest.mark.parametrize("path", ["notes.txt", "old.py"])
def test_only_python_that_could_be_read_before_is_judged(path: str) -> None:
    files = {"notes.txt": "x = 1\n", "old.py": "x = 1\nprint 1\n"}
    applied = apply_edits([Edit(path=path, search="x = 1\n", replace="x = (\n")], files.get)
    assert set(applied.files) == {path}


def test_blank_lines_only_are_no_change() -> None:
    after, _ = outcome("x\n", "\nx\n\n", "x\n")
    assert after is None
    applied = apply_edits([Edit(path="b.py", search="x = 1\n", replace="x = 1\n\n")], FILES.get)
    assert applied.rejected == "only blank lines would change"


# --- back and forth ------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(["", "a", "b", "  a", "x = 1", "return", "### q.py", "```", "a b"]), max_size=9
)


@settings(max_examples=500, deadline=None)
@given(old=LINES, new=LINES, crlf=st.booleans(), open_end=st.booleans())
def test_edits_made_from_two_texts_lead_from_one_to_the_other(
    old: list[str], new: list[str], crlf: bool, open_end: bool
) -> None:
    assume([line for line in old if line] != [line for line in new if line])
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))
    if open_end:
        assume(old and new and old[-1] and new[-1])
        before, after = before[:-1], after[:-1]
    if crlf:
        assume(old)
        before, after = before.replace("\n", "\r\n"), after.replace("\n", "\r\n")
        assume("\n" in before)
    files = {"f.txt": before, "g.txt": "as it was"}
    parsed = parse_edits(render_edits({"f.txt": before}, {"f.txt": after}))
    applied = apply_edits(parsed.edits, files.get)
    assert dict(applied.files) == {"f.txt": after}
    assert parsed.problems == ()
    assert all(outcome.refused is None and outcome.occurrences == 1 for outcome in applied.outcomes)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("<>=#`\n aSEARCHREPLthink/.py"), max_size=200))
def test_no_answer_breaks_the_reader(text: str) -> None:
    for answer in (text, f"{EDIT}\n{text}\n{EDIT}", f"### a.py\n{EDIT[:-3]}{text}"):
        apply_edits(parse_edits(answer).edits, FILES.get)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": "x\n"}, {"a": "=======\n"}),
        ({"a": "x\n"}, {"a": "y"}),
        ({"a": "x\n"}, {"a": "x\n\n"}),
    ],
)
def test_changes_that_edits_cannot_say(before: dict[str, str], after: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no SEARCH/REPLACE edits make this change"):
        render_edits(before, after)
