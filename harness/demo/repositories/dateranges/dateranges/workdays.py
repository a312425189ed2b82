"""Monday to Friday, without holidays."""

from datetime import timedelta


def is_workday(day, holidays=()):
    return day.weekday() < 5 and day not in holidays


def count_workdays(days, holidays=()):
    return sum(is_workday(day, holidays) for day in days)


def add_workdays(day, count, holidays=()):
    """The workday that comes count workdays after a day, or before it if count is negative."""
    step = timedelta(days=1 if count > 0 else -1)
    left = abs(count)
    while left:
        day += step
        if is_workday(day, holidays):
            left -= 1
    return day
