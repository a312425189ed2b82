from textkit import camel_to_snake, center, right, shorten, snake_to_camel, wrap


def test_wrap_breaks_between_words():
    assert wrap("one two three four", 10) == ["one two", "three four"]


def test_wrap_of_nothing():
    assert wrap("") == []


def test_shorten_keeps_short_text():
    assert shorten("a  b", 10) == "a b"


def test_center_even():
    assert center("ab", 6, ".") == "..ab.."


def test_right():
    assert right("7", 3, "0") == "007"


def test_snake():
    assert camel_to_snake("someName") == "some_name"


def test_camel():
    assert snake_to_camel("some_name") == "someName"
