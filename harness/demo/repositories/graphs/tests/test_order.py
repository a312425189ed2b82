import pytest

from graphs import CycleError, components, is_connected, levels, nodes, order, reverse


def test_nodes():
    assert nodes({"b": ["c"], "a": ["b"]}) == ["b", "c", "a"]


def test_reverse():
    assert reverse({"a": ["b", "c"]}) == {"a": [], "b": ["a"], "c": ["a"]}


def test_order():
    assert order({"c": [], "b": ["c"], "a": ["b", "c"]}) == ["a", "b", "c"]


def test_levels():
    assert levels({"a": ["b", "c"], "b": ["d"], "c": ["d"]}) == [["a"], ["b", "c"], ["d"]]


def test_cycle():
    with pytest.raises(CycleError):
        order({"a": ["b"], "b": ["a"]})


def test_components():
    assert components({"a": ["b"], "c": ["d"]}) == [["a", "b"], ["c", "d"]]


def test_is_connected():
    assert is_connected({"a": ["b", "c"]})
    assert not is_connected({"a": ["b"], "c": []})
