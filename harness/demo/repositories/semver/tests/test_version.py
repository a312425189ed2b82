import pytest

from semver import Version, parse


def test_parse():
    assert str(parse("v1.2.3-beta.1")) == "1.2.3-beta.1"


def test_parse_error():
    with pytest.raises(ValueError):
        parse("1.2")


def test_order():
    assert parse("1.2.0") < parse("1.10.0")


def test_release_after_prerelease():
    assert parse("1.0.0-rc.1") < parse("1.0.0")


def test_bump_patch():
    assert parse("1.2.3").bump("patch") == Version(1, 2, 4)
