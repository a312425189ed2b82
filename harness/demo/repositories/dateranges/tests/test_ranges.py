from datetime import date

from dateranges import DateRange, add_workdays, count_workdays


def test_contains_both_ends():
    week = DateRange(date(2025, 6, 2), date(2025, 6, 8))
    assert week.start in week and week.end in week


def test_iteration():
    assert list(DateRange(date(2025, 1, 1), date(2025, 1, 1))) == [date(2025, 1, 1)]


def test_count_workdays():
    assert count_workdays(DateRange(date(2025, 6, 2), date(2025, 6, 8))) == 5


def test_add_workdays():
    assert add_workdays(date(2025, 6, 6), 1) == date(2025, 6, 9)
