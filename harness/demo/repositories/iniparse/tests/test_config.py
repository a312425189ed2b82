import pytest

from iniparse import Config


def test_get():
    assert Config("[a]\nx = 1").get("a", "x") == "1"


def test_get_int():
    assert Config("[a]\nx = 12").get_int("a", "x") == 12


def test_get_bool():
    assert Config("[a]\nx = yes").get_bool("a", "x") is True


def test_missing_key():
    with pytest.raises(KeyError):
        Config("[a]").get("a", "x")


def test_default():
    assert Config("[a]").get("a", "x", "d") == "d"
