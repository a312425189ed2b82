import pytest

from ringbuf import Ring


def test_oldest_is_dropped():
    ring = Ring(2, "ab")
    assert ring.push("c") == "a"
    assert list(ring) == ["b", "c"]


def test_index_of_full_ring():
    ring = Ring(2, "abc")
    assert (ring[0], ring[-1]) == ("b", "c")


def test_index_out_of_range():
    with pytest.raises(IndexError):
        Ring(2, "a")[1]


def test_pop():
    ring = Ring(3, "ab")
    assert ring.pop() == "a"
    assert len(ring) == 1
