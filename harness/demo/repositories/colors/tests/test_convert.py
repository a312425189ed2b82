import pytest

from colors import InvalidColor, hsl_to_rgb, parse_hex, rgb_to_hsl, to_hex


def test_parse_hex():
    assert parse_hex("#ff8000") == (255, 128, 0)
    assert parse_hex("#fff") == (255, 255, 255)


def test_parse_hex_invalid():
    with pytest.raises(InvalidColor):
        parse_hex("#12345")


def test_to_hex():
    assert to_hex(255, 128, 0) == "#ff8000"


def test_rgb_to_hsl():
    assert rgb_to_hsl(0, 0, 255) == (240, 1, 0.5)
    assert rgb_to_hsl(255, 255, 0) == (60, 1, 0.5)


def test_there_and_back():
    assert hsl_to_rgb(*rgb_to_hsl(200, 30, 90)) == (200, 30, 90)
