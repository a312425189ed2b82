import pytest

from iniparse import ParseError, parse


def test_sections_and_keys():
    assert parse("[a]\nx = 1\n[b]\ny=2") == {"a": {"x": "1"}, "b": {"y": "2"}}


def test_comments():
    assert parse("# note\n[a]\nx = 1 ; note") == {"a": {"x": "1"}}


def test_key_before_sections():
    assert parse("x = 1") == {"": {"x": "1"}}


def test_line_number_in_error():
    with pytest.raises(ParseError, match="line 2"):
        parse("[a]\nnonsense")
