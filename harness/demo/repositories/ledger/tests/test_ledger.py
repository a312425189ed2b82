import pytest

from ledger import Book, InsufficientFunds, compound, format_cents, parse_amount


@pytest.fixture
def book():
    book = Book()
    book.open("ann", 1000)
    book.open("bob")
    return book


def test_transfer(book):
    book.transfer("ann", "bob", 300)
    assert (book.balance("ann"), book.balance("bob")) == (700, 300)


def test_insufficient_funds(book):
    with pytest.raises(InsufficientFunds):
        book.transfer("bob", "ann", 1)


def test_history(book):
    book.transfer("ann", "bob", 300)
    assert book.history("ann") == [-300]
    assert book.history("bob") == [300]


def test_parse_amount():
    assert parse_amount("12.34") == 1234
    assert parse_amount("5") == 500


def test_format():
    assert format_cents(123450) == "1,234.50"


def test_compound():
    assert compound(10000, 5, 2) == 11025
