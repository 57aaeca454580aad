"""A period as the calendar months that are whole in it, and the days beside them.

Rollups have rows of months, which are a thirtieth of those of days.
"""

from datetime import date, timedelta
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

DAY = timedelta(days=1)


class Parts(NamedTuple):
    """Conditions on a column `month` and on one `day`; None where there is no part."""

    months: Q | None
    days: Q | None


def parts_of(first: date, last: date) -> Parts:
    """Divide the days from the first to the last, inclusive."""
    begin, end = _whole_months(first, last)
    if begin >= end:
        return Parts(None, Q(day__range=(first, last)))
    before = Q(day__gte=first, day__lt=begin)
    after = Q(day__gte=end, day__lte=last)
    has_days = first < begin or end <= last
    months = Q(month__gte=begin, month__lt=end)
    return Parts(months, before | after if has_days else None)


def _whole_months(first: date, last: date) -> tuple[date, date]:
    """Return where whole months begin within a time, and the first day after them.

    This month is whole for a time that goes on until today: nothing was counted later.
    """
    begin = first if first.day == 1 else _next_month(first)
    until_now = last >= timezone.now().date()
    end = _next_month(last) if until_now else (last + DAY).replace(day=1)
    return begin, end


def _next_month(day: date) -> date:
    try:
        return (day.replace(day=1) + 31 * DAY).replace(day=1)
    except OverflowError:  # after the last month that a date can tell
        return date.max
