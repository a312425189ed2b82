import pytest

from stencil import MissingValue, TemplateError, names, parse, render


def test_plain_text():
    assert parse("no fields") == ["no fields"]


def test_fields():
    assert render("Dear {first} {last},", first="Ann", last="Lee") == "Dear Ann Lee,"


def test_dotted_name():
    assert render("{user.city}", user={"city": "Rome"}) == "Rome"


def test_default():
    assert render("Hello {name=guest}!") == "Hello guest!"
    assert render("Hello {name=guest}!", name="Bob") == "Hello Bob!"


def test_missing():
    with pytest.raises(MissingValue):
        render("{name}")


def test_filters():
    assert render("{name|upper}", name="ann") == "ANN"
    assert render("{tags|join:+}", tags=["a", "b"]) == "a+b"


def test_unknown_filter():
    with pytest.raises(TemplateError):
        render("{name|shout}", name="ann")


def test_names():
    assert names("{b} {a} {b}") == ["b", "a"]


def test_opening_brace():
    assert render("a {{ b") == "a { b"
