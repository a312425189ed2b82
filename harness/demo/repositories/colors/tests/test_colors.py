import pytest

from colors import contrast, darken, lighten, luminance, mix, readable


def test_mix():
    assert mix("#000000", "#ffffff", 0.2) == "#333333"
    assert mix("#ff0000", "#0000ff", 1) == "#0000ff"


def test_lighten_and_darken():
    assert lighten("#ff0000", 0.25) == "#ff8080"
    assert darken("#808080", 0.9) == "#000000"


def test_luminance():
    assert luminance("#ffffff") == pytest.approx(1)


def test_contrast():
    assert contrast("#ffffff", "#000000") == 21
    assert contrast("#123456", "#123456") == 1


def test_readable():
    assert readable("#000000") == "#ffffff"
