"""Interest on whole cents; half a cent is rounded up."""

from decimal import ROUND_HALF_UP, Decimal


def _round(value):
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def compound(cents, percent, years):
    """Balance after some years; the interest of each year is rounded and stays in the account."""
    rate = Decimal(str(percent)) / 100
    for _ in range(years):
        cents += _round(cents * rate)
    return cents


def monthly_payment(cents, percent, months):
    """Payment that settles a loan in equal parts."""
    if percent == 0:
        return _round(Decimal(cents) / months)
    rate = Decimal(str(percent)) / 1200
    growth = (1 + rate) ** months
    return _round(cents * rate * growth / (growth - 1))
