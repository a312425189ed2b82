import pytest

from roman import Roman, compress, expand, numerals


def test_arithmetic():
    assert Roman("V") + Roman("II") == Roman("VII")
    assert str(Roman("III") * Roman("IV")) == "XII"


def test_no_zero():
    with pytest.raises(ValueError):
        Roman("V") - Roman("V")


def test_compare():
    assert Roman("iv") == Roman("IV")
    assert Roman("IX") < Roman("XI")


def test_numerals():
    assert numerals("IX", "XI") == ["IX", "X", "XI"]


def test_expand():
    assert expand("I-III, V") == ["I", "II", "III", "V"]


def test_compress():
    assert compress(["I", "II", "III", "V"]) == "I-III, V"
