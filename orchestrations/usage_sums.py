"""Sums of usage over periods: from UsageMonth, where they have whole months, and from
UsageDay for the days beside them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet, Sum, Value

from orchestrations.models import UsageDay, UsageMonth
from orchestrations.whole_months import parts_of


class Days(NamedTuple):
    """Days from the first to the last, inclusive; in each row of theirs the label."""

    first: date
    last: date
    label: Any = True


def sums_of(
    tenant_id: UUID,
    mode: str,
    periods: Sequence[Days],
    names: Sequence[str],
    sums: Mapping[str, Sum],
    among: Q | None = None,
) -> QuerySet[Any, Any]:
    """Return rows of a label, of names and of sums, by one query.

    There may be several rows of the same label and names; without names, of nothing
    there is one of None. Of the rollups' rows are added up those that `among` passes.
    """
    whose = Q(tenant_id=tenant_id, mode=mode) & (among or Q())
    first: QuerySet[Any, Any]
    first, *others = (
        rows.filter(whose)
        .annotate(label=Value(label))
        .values_list("label", *names)
        .annotate(**sums)
        for rows, label in _parts(periods)
    )
    return first.union(*others, all=True) if others else first


def _parts(periods: Sequence[Days]) -> Iterator[tuple[QuerySet[Any], Any]]:
    for first, last, label in periods:
        months, days = parts_of(first, last)
        if months is not None:
            yield UsageMonth.objects.filter(months), label
        if days is not None:
            yield UsageDay.objects.filter(days), label
