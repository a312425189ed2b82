from router import build_query, parse_query


def test_parse():
    assert parse_query("?a=1&b=2") == {"a": ["1"], "b": ["2"]}


def test_parse_escapes():
    assert parse_query("q=a%20b+c") == {"q": ["a b c"]}


def test_build():
    assert build_query({"a": 1, "b": "x y"}) == "a=1&b=x%20y"
