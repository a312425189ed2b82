import pytest

from statkit import Running, iqr, percentile


def test_percentile():
    assert percentile([10, 20, 30], 50) == 20
    assert percentile([10, 20], 25) == 12.5
    assert percentile([10, 20], 100) == 20


def test_iqr():
    assert iqr([1, 2, 3, 4, 5]) == 2


def test_running():
    stream = Running([1, 2, 3])
    assert stream.count == 3
    assert stream.mean == pytest.approx(2)
    assert stream.variance == pytest.approx(1)


def test_add():
    total = Running([1, 2]) + Running([6])
    assert total.count == 3
    assert total.mean == pytest.approx(3)
