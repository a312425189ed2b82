import pytest

from lrucache import LRUCache, memoize


def test_put_and_get():
    cache = LRUCache(2)
    cache.put("a", 1)
    assert cache.get("a") == 1
    assert cache.get("b", 0) == 0


def test_oldest_goes():
    cache = LRUCache(2)
    for key in "abc":
        cache.put(key, key)
    assert "a" not in cache and "c" in cache


def test_counts():
    cache = LRUCache(1)
    cache.get("a")
    cache.put("a", 1)
    cache.get("a")
    assert (cache.hits, cache.misses) == (1, 1)


def test_capacity():
    with pytest.raises(ValueError):
        LRUCache(0)


def test_memoize():
    calls = []
    double = memoize()(lambda x: calls.append(x) or x * 2)
    assert [double(2), double(2), calls] == [4, 4, [2]]
