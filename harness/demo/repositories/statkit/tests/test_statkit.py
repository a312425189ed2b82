import pytest

from statkit import bars, edges, histogram, mean, median, modes, variance


def test_mean():
    assert mean([1, 2, 6]) == 3
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_variance():
    assert variance([1, 2, 3]) == 1


def test_median():
    assert median([5, 1, 3]) == 3
    assert median([4, 1, 3, 2]) == 2.5


def test_modes():
    assert modes([3, 1, 3, 1, 2]) == [1, 3]


def test_histogram():
    assert histogram([1, 2, 6], 2, low=0, high=10) == [2, 1]
    assert histogram([-1, 3, 12], 2, low=0, high=10) == [1, 0]


def test_edges():
    assert edges(2, 0, 10) == [0, 5, 10]


def test_bars():
    assert bars([1, 2, 0], width=4) == ["##", "####", ""]
