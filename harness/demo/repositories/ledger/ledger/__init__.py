from ledger.book import Book, InsufficientFunds
from ledger.interest import compound, monthly_payment
from ledger.money import format_cents, parse_amount

__all__ = ["Book", "InsufficientFunds", "compound", "format_cents", "monthly_payment", "parse_amount"]
