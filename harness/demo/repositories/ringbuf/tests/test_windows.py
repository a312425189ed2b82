from ringbuf import chunks, moving_average, moving_max, parts, rejoin, windows


def test_windows():
    assert list(windows([1, 2, 3], 2)) == [(1, 2), (2, 3)]


def test_moving_average():
    assert moving_average([2, 4, 8], 2) == [3, 6]


def test_moving_max():
    assert moving_max([3, 1, 2], 2) == [3, 2]


def test_chunks():
    assert chunks("abcde", 2) == ["ab", "cd", "e"]


def test_chunks_with_overlap():
    assert chunks("abcdef", 3, overlap=1) == ["abc", "cde", "ef"]


def test_rejoin():
    assert rejoin(["abc", "cde", "ef"], overlap=1) == "abcdef"


def test_parts():
    assert parts("abcde", 2) == ["abc", "de"]
