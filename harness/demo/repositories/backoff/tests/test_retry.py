import pytest

from backoff import GaveUp, on, retry


class Flaky:
    """Fails with the errors, then returns "done"."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_works_after_failures():
    slept = []
    assert retry(Flaky(OSError(), OSError()), slept.append) == "done"
    assert slept == [1, 2]


def test_gives_up():
    slept = []
    with pytest.raises(GaveUp) as caught:
        retry(Flaky(*[OSError()] * 3), slept.append)
    assert (caught.value.failures, caught.value.waited) == (3, 3)
    assert slept == [1, 2]


def test_other_error():
    with pytest.raises(KeyError):
        retry(Flaky(KeyError()), None, errors=on(OSError))
