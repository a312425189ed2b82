from wildcard import Trie


def test_contains():
    words = Trie("car", "cat")
    assert "cat" in words
    assert "ca" not in words


def test_starting():
    assert Trie("dog", "cat", "car").starting("ca") == ["car", "cat"]
    assert Trie("dog").starting("x") == []


def test_longest():
    words = Trie("/usr", "/tmp")
    assert words.longest("/usr/bin") == "/usr"
    assert words.longest("/var") is None
