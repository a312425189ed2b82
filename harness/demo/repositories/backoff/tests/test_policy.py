import pytest

from backoff import all_of, constant, exponential, linear, on, total, tries, waits


def test_linear():
    assert waits(linear(2, 3, limit=7), tries(5)) == [2, 5, 7, 7]


def test_exponential():
    assert waits(exponential(3), tries(4)) == [3, 6, 12]


def test_exponential_limit():
    assert waits(exponential(limit=3), tries(5)) == [1, 2, 3, 3]


def test_delay_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        constant(0)


def test_total():
    assert waits(constant(5), total(10)) == [5, 5]


def test_all_of():
    assert waits(constant(5), all_of(total(100), tries(2))) == [5]


def test_on():
    matches = on((OSError, LookupError), but=(FileNotFoundError,))
    assert matches(ConnectionError())
    assert matches(KeyError())
    assert not matches(FileNotFoundError())
    assert not matches(ValueError())
