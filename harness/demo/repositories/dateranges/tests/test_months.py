from datetime import date

from dateranges import add_months, month_starts


def test_add_within_a_year():
    assert add_months(date(2025, 1, 15), 2) == date(2025, 3, 15)


def test_add_over_a_year():
    assert add_months(date(2025, 11, 1), 3) == date(2026, 2, 1)


def test_month_starts():
    assert month_starts(date(2025, 1, 1), date(2025, 2, 15)) == [date(2025, 1, 1), date(2025, 2, 1)]
