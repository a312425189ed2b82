import pytest

from wildcard import BadPattern, Filter, match, select


def test_plain_text():
    assert match("abc", "abc")
    assert not match("abc", "abcd")


def test_question_mark():
    assert match("a?c", "abc")
    assert not match("a?c", "ac")


def test_star():
    assert match("*.py", "setup.py")
    assert match("a*", "a")
    assert not match("*.py", "setup.pyc")


def test_set():
    assert match("[a-c]1", "b1")
    assert not match("[!a-c]1", "b1")
    assert match("[a-]", "-")


def test_open_set():
    with pytest.raises(BadPattern):
        match("[abc", "a")


def test_select():
    assert select(["a.py", "b.txt", "c.md"], "*.md", "*.py") == ["a.py", "c.md"]


def test_last_rule_decides():
    keep = Filter("*.py", "!test_*")
    assert keep(["a.py", "test_a.py", "b.txt"]) == ["a.py"]
