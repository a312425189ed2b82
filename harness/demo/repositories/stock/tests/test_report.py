from stock import Item, Stock, label, missing, packs, report, shopping_list


def test_missing():
    assert missing(Item("pen", 9, 4, level=8)) == 3
    assert missing(Item("pen", 9, level=8)) == 0


def test_packs():
    assert packs(21, 10) == 3
    assert packs(0, 10) == 0


def test_shopping_list():
    stock = Stock(Item("pen", 1, level=8), Item("ink", 2))
    assert shopping_list(stock, 5) == {"pen": 2}


def test_label():
    assert label(Item("pen", 5, 2)) == "pen: 3 of 5 free"
    assert label(Item("pen", 5, 2, level=4)) == "pen: 3 of 5 free (low)"


def test_report():
    assert report({"pen": 2, "ink": 10}) == "ink 10\npen  2"
    assert report({}) == "nothing in stock"
