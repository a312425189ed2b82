from dateranges.months import add_months, last_day, month_starts
from dateranges.ranges import DateRange
from dateranges.workdays import add_workdays, count_workdays

__all__ = ["DateRange", "add_months", "add_workdays", "count_workdays", "last_day", "month_starts"]
