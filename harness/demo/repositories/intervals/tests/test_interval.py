import pytest

from intervals import Interval


def test_contains():
    assert 1 in Interval(1, 3)
    assert 3 not in Interval(1, 3)


def test_wrong_order():
    with pytest.raises(ValueError):
        Interval(3, 1)


def test_intersection():
    assert Interval(0, 5).intersection(Interval(3, 8)) == Interval(3, 5)
    assert Interval(0, 2).intersection(Interval(4, 5)) is None
