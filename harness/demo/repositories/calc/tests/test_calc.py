import pytest

from calc import LexError, evaluate, tokenize


def test_tokens():
    assert tokenize("1+ab") == [("number", "1"), ("operator", "+"), ("name", "ab")]


def test_lex_error():
    with pytest.raises(LexError):
        tokenize("1 ? 2")


def test_product_before_sum():
    assert evaluate("1 + 2 * 3") == 7


def test_parentheses():
    assert evaluate("(1 + 2) * 3") == 9


def test_names():
    assert evaluate("2 * x", x=3) == 6


def test_open_parenthesis():
    with pytest.raises(SyntaxError):
        evaluate("(1 + 2")
