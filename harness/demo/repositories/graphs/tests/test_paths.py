from graphs import costs, path

ROADS = {"a": {"b": 1, "c": 2}, "b": {"d": 5}, "d": {"e": 1}}


def test_costs():
    assert costs(ROADS, "a") == {"a": 0, "b": 1, "c": 2, "d": 6, "e": 7}


def test_path():
    assert path(ROADS, "a", "e") == ["a", "b", "d", "e"]


def test_path_to_itself():
    assert path(ROADS, "a", "a") == ["a"]


def test_no_path():
    assert path(ROADS, "c", "a") is None
