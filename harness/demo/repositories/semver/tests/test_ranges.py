from semver import matches


def test_comparison():
    assert matches("1.5.0", ">=1.2.0, <2.0.0")
    assert not matches("2.0.0", ">=1.2.0, <2.0.0")


def test_caret():
    assert matches("1.9.0", "^1.2.0")
    assert not matches("2.0.0", "^1.2.0")


def test_tilde():
    assert matches("1.2.9", "~1.2.0")
    assert not matches("1.3.0", "~1.2.0")
