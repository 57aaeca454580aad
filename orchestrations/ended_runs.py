"""Ended runs of a period by bands of what they cost: from RunMonth, where it has whole
months, and from RunDay for the days beside them.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, Q, QuerySet, Sum, Value
from django.utils import timezone

from orchestrations.models import RunDay, RunMonth

DAY = timedelta(days=1)
SUMS = {"sum_runs": Sum("runs"), "sum_cost": Sum("cost")}


class Band(NamedTuple):
    """Runs that cost nearly the same; there may be more of the same band."""

    current: bool  # as it was asked for
    value: str
    band: int
    runs: int
    cost: Decimal


class Asked(NamedTuple):
    """Runs of the days from the first to the last, by values of a dimension."""

    tenant_id: UUID
    mode: str
    first: date
    last: date
    dimension: str = ""
    among: set[str] | None = None  # of the values; None: all
    current: bool = True


def bands_of(*questions: Asked) -> Iterator[Band]:
    """Answer all questions with one query."""
    first, *others = (part for asked in questions for part in _parts(asked))
    rows = first.union(*others, all=True) if others else first
    return map(Band._make, rows)


def _parts(asked: Asked) -> Iterator[QuerySet[Any, Any]]:
    begin, end = _whole_months(asked.first, asked.last)
    if begin >= end:
        days = Q(day__range=(asked.first, asked.last))
        yield _summed(RunDay.objects.filter(days), asked)
        return
    yield _summed(RunMonth.objects.filter(month__gte=begin, month__lt=end), asked)
    before = Q(day__gte=asked.first, day__lt=begin)
    after = Q(day__gte=end, day__lte=asked.last)
    if asked.first < begin or end <= asked.last:
        yield _summed(RunDay.objects.filter(before | after), asked)


def _whole_months(first: date, last: date) -> tuple[date, date]:
    """Return where whole months begin within a time, and the first day after them.

    This month is whole for a time that goes on until today: no run has ended later.
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


def _summed(rows: QuerySet[Any], asked: Asked) -> QuerySet[Any, Any]:
    rows = rows.filter(
        tenant_id=asked.tenant_id, mode=asked.mode, dimension=asked.dimension
    )
    if asked.among is not None:
        rows = rows.filter(value__in=asked.among)
    current = Value(asked.current, output_field=BooleanField())
    bands = rows.annotate(current=current).values_list("current", "value", "cost_band")
    summed: QuerySet[Any, Any] = bands.annotate(**SUMS)
    return summed
