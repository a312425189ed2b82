import pytest

from units import Quantity, UnknownUnit, convert, lookup


def test_length():
    assert convert(2, "km", "m") == 2000


def test_temperature_to_base():
    assert convert(0, "C", "K") == 273.15


def test_kinds_differ():
    with pytest.raises(ValueError):
        convert(1, "m", "s")


def test_alias():
    assert lookup("metre") == lookup("m")


def test_unknown():
    with pytest.raises(UnknownUnit):
        lookup("parsec")


def test_add_same_unit():
    assert Quantity(1, "m") + Quantity(2, "m") == Quantity(3, "m")
