import pytest

from router import NotFound, Router


@pytest.fixture
def router():
    router = Router()
    router.add("/", "home")
    router.add("/users/<int:id>", "user")
    router.add("/files/<path:name>", "file")
    return router


def test_fixed_path(router):
    assert router.find("/") == ("home", {})


def test_parameter_is_a_number(router):
    assert router.find("/users/7") == ("user", {"id": 7})


def test_path_parameter(router):
    assert router.find("/files/a/b.txt") == ("file", {"name": "a/b.txt"})


def test_unknown_path(router):
    with pytest.raises(NotFound):
        router.find("/nothing")
