"""Which parts of a patch are permitted, decided from its text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.swe.patches import clean_patch, split_patch


def change(path: str, old: str = "a", new: str = "b") -> str:
    return f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def added(path: str, *lines: str, mode: str = "100644") -> str:
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{body}"
    )


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (change("conftest.py"), "test hook"),
        (added("pkg/deep/conftest.py", "x"), "test hook"),
        (added("sitecustomize.py", "x"), "test hook"),
        (added("x.pth", "import os"), "test hook"),
        (change("tox.ini"), "test hook"),
        (change("setup.cfg", "[metadata]", "[tool:pytest]"), "test hook"),
        (change("pyproject.toml", "x = 1", 'addopts = "-p evil"'), "test hook"),
        (change("tests/test_a.py"), "file of the test patch"),
        (change("./tests/test_a.py"), "file of the test patch"),
        (change("../outside.py"), "path outside of the repository"),
        ("--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-a\n+b\n", "path outside of the repository"),
        (added(".git/hooks/post-checkout", "x"), "git's own files"),
        (added("link", "/etc", mode="120000"), "symbolic link out of the repository"),
        (added("a/b/link", "../../../x", mode="120000"), "symbolic link out of the repository"),
        ("diff --git a/conftest.py b/ok.py\nrename from conftest.py\nrename to ok.py\n", "test hook"),
        ("diff --git a/conftest.py b/conftest.py\nold mode 100644\nnew mode 100755\n", "test hook"),
        ('diff --git "a/conf\\164est.py" "b/conf\\164est.py"\n--- "a/conf\\164est.py"\n+++ "b/conf\\164est.py"\n'
         "@@ -1 +1 @@\n-a\n+b\n", "test hook"),
    ],
)  # fmt: skip
def test_what_is_stripped_and_why(part: str, reason: str) -> None:
    good = change("pkg/a.py")
    clean = clean_patch(good + part + good, test_files=["tests/test_a.py"])
    assert clean.text == good + good
    assert [stripped.reason for stripped in clean.stripped] == [reason]


@pytest.mark.parametrize(
    "part",
    [
        change("pkg/a.py"),
        change("setup.cfg", "known = six, pytest", "known = appdirs, six, pytest"),
        change("tests/test_b.py"),
        added("pkg/link", "a.py", mode="120000"),
        added("with space/ä.py", "x"),
        "diff --git a/a.bin b/a.bin\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n",
        "--- a/plain.py\n+++ b/plain.py\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n",
    ],
)
def test_permitted_parts_are_unchanged(part: str) -> None:
    clean = clean_patch(part, test_files=["tests/test_a.py"])
    assert (clean.text, clean.stripped) == (part, ())


def test_content_that_looks_like_a_header_is_content() -> None:
    patch = (
        "diff --git a/a.sql b/a.sql\n--- a/a.sql\n+++ b/a.sql\n@@ -1,3 +1,3 @@\n"
        "--- a comment\n+++ conftest.py\n diff --git a/conftest.py b/conftest.py\n x\n"
    )
    (part,) = split_patch(patch)
    assert part.text == patch
    assert clean_patch(patch, test_files=[]).text == patch


def test_files_without_git_headers_are_separated() -> None:
    plain = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    assert [part.paths for part in split_patch(plain + plain.replace("x.py", "y.py"))] == [
        ("x.py",),
        ("y.py",),
    ]


def test_a_patch_with_crlf_throughout_is_fixed_and_one_of_crlf_files_is_not() -> None:
    good = change("a.py")
    assert clean_patch(good.replace("\n", "\r\n"), test_files=[]).text == good
    windows = change("a.py", "a\r", "b\r")
    assert clean_patch(windows, test_files=[]).text == windows


def test_prose_is_no_patch() -> None:
    assert clean_patch("I could not find the bug.\n", test_files=[]).text == ""


@given(st.text(alphabet=st.sampled_from('-+@ ab/\n\r"\\dif gt'), max_size=200))
def test_any_text_gives_a_patch_or_nothing(text: str) -> None:
    clean = clean_patch(text, test_files=["a"])
    assert clean.text == "" or clean.text.endswith("\n")
