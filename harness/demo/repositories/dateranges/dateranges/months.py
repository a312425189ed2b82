"""Steps of whole months."""

import calendar
from datetime import date


def last_day(year, month):
    return calendar.monthrange(year, month)[1]


def add_months(day, count):
    """The same day of another month, or its last day if the month is too short."""
    index = day.year * 12 + day.month - 1 + count
    year, month = divmod(index, 12)
    month += 1
    return date(year, month, min(day.day, last_day(year, month)))


def month_starts(start, end):
    """First days of the months that begin in start <= day <= end."""
    first = start.replace(day=1)
    if first < start:
        first = add_months(first, 1)
    starts = []
    while first <= end:
        starts.append(first)
        first = add_months(first, 1)
    return starts
