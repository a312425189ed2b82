import pytest

from urlparts import Url, join, port, resolve, split


def test_split():
    url = split("http://x.org:81/a?b=1#c")
    assert url == Url("http", "x.org:81", "/a", "b=1", "c")


def test_split_path_only():
    assert split("/a/b") == Url(path="/a/b")


@pytest.mark.parametrize("text", ["http://x.org/a?b#c", "mailto:ann@x.org", "/a", "#c"])
def test_join(text):
    assert join(split(text)) == text


def test_port():
    assert port(split("http://x.org:81/")) == 81
    assert port(split("https://x.org/")) == 443


def test_resolve_in_folder():
    assert resolve("http://x.org/a/b", "c") == "http://x.org/a/c"


def test_resolve_up():
    assert resolve("http://x.org/a/b/c", "../d") == "http://x.org/a/d"


def test_resolve_from_top():
    assert resolve("http://x.org/a/b", "/d") == "http://x.org/d"
