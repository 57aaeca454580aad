"""Ended runs of a period by bands of what they cost: from RunMonth, where it has whole
months, and from RunDay for the days beside them.
"""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, QuerySet, Sum, Value

from orchestrations.models import RunDay, RunMonth
from orchestrations.whole_months import parts_of

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
    months, days = parts_of(asked.first, asked.last)
    if months is not None:
        yield _summed(RunMonth.objects.filter(months), asked)
    if days is not None:
        yield _summed(RunDay.objects.filter(days), asked)


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
