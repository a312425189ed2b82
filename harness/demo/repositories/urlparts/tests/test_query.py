from urlparts import add_param, quote, read_query, unquote, write_query


def test_quote():
    assert quote("a b/c") == "a%20b%2Fc"


def test_unquote():
    assert unquote("a%20b%2fc 5%") == "a b/c 5%"


def test_read_query():
    assert read_query("a=1&b=x+y") == [("a", "1"), ("b", "x y")]


def test_write_query():
    assert write_query([("a", 1), ("b", "x y")]) == "a=1&b=x+y"


def test_add_param():
    assert add_param("/s?a=1#top", "b", 2) == "/s?a=1&b=2#top"
