import pytest

from roman import InvalidNumeral, is_numeral, parse, render


def test_parse():
    assert parse("XVI") == 16
    assert parse("IV") == 4
    assert parse("MMIX") == 2009


def test_parse_lower_case():
    assert parse(" vii ") == 7


def test_invalid():
    with pytest.raises(InvalidNumeral):
        parse("IIX")
    assert not is_numeral("")


def test_render():
    assert render(1994) == "MCMXCIV"
    assert render(12, lower=True) == "xii"


def test_render_zero():
    with pytest.raises(ValueError):
        render(0)
