import pytest

from stock import Item, OutOfStock, Stock


def test_reserve():
    item = Item("pen", 5)
    assert item.reserve(2) == 3
    assert item.count == 5


def test_reserve_too_many():
    with pytest.raises(OutOfStock):
        Item("pen", 5, 4).reserve(2)


def test_release():
    assert Item("pen", 5, 4).release(3) == 4
    assert Item("pen", 5, 1).release(9) == 5


def test_ship_takes_from_the_shelf():
    item = Item("pen", 5, 2)
    item.ship(2)
    assert item.count == 3


def test_ship_without_reservation():
    with pytest.raises(OutOfStock):
        Item("pen", 5).ship(1)


def test_receive_a_new_item():
    stock = Stock()
    stock.receive("ink", 3)
    assert stock.counts() == {"ink": 3}


def test_low():
    stock = Stock(Item("pen", 5, level=5), Item("ink", 5, 1, level=5))
    assert stock.low() == ["ink"]
