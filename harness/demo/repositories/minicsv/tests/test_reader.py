import pytest

from minicsv import parse_line, read_table


def test_plain_line():
    assert parse_line("a,b,c") == ["a", "b", "c"]


def test_separator_in_quotes():
    assert parse_line('"a,b",c') == ["a,b", "c"]


def test_open_quote():
    with pytest.raises(ValueError):
        parse_line('"a,b')


def test_read_table():
    assert read_table("x,y\n1,2\n") == [{"x": "1", "y": "2"}]


def test_wrong_number_of_fields():
    with pytest.raises(ValueError):
        read_table("x,y\n1\n")
