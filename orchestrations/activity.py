"""How much was done, how fast and for how much, hour by hour: from the rollups alone.

Percentiles come from counts in bands of latencies, so those of any time and group
are added up like everything else.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from orchestrations.bands import LATENCIES
from orchestrations.models import RunDay, UsageHour

MAX_GROUPS = 50  # each has up to 744 buckets
UNTIMED = -1  # the band of calls without a latency
RANKS = (0.5, 0.95, 0.99)


class Granularity(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(slots=True)
class Activity:
    """Sums of UsageHour; `bands` has the calls of each band of latencies."""

    calls: int = 0
    total_tokens: int = 0
    cost: Decimal = Decimal(0)
    step_cost: Decimal = Decimal(0)
    steps: int = 0
    unpriced: int = 0
    flagged: int = 0
    failed: int = 0
    latency_ms: int = 0
    timed: int = 0
    bands: dict[int, int] = field(default_factory=dict)

    def add(self, band: int, *sums: Any) -> None:
        """Add sums, in the order of SUMS, of calls that share a band."""
        for name, value in zip(SUMS, sums, strict=True):
            setattr(self, name, getattr(self, name) + value)
        if band != UNTIMED:
            self.bands[band] = self.bands.get(band, 0) + sums[0]

    def merge(self, other: "Activity") -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for band, calls in other.bands.items():
            self.bands[band] = self.bands.get(band, 0) + calls

    @property
    def total_cost(self) -> Decimal:
        return self.cost + self.step_cost

    @property
    def average_ms(self) -> float | None:
        return round(self.latency_ms / self.timed, 1) if self.timed else None

    def percentiles(self) -> dict[str, float | None]:
        """Return p50, p95 and p99 in milliseconds, within 5 %."""
        values = LATENCIES.percentiles(self.bands, RANKS)
        return {
            f"p{rank:.0%}".rstrip("%"): value and round(value, 1)
            for rank, value in zip(RANKS, values, strict=True)
        }


SUMS = {
    "calls": Sum("calls"),
    "total_tokens": Sum(
        F("input_tokens")
        + F("cache_read_tokens")
        + F("cache_write_5m_tokens")
        + F("cache_write_1h_tokens")
        + F("output_tokens")
    ),
    "cost": Sum("cost"),
    "step_cost": Sum("step_cost"),
    "steps": Sum("steps"),
    "unpriced": Sum("unpriced"),
    "flagged": Sum("flagged"),
    "failed": Sum("failed"),
    "latency_ms": Sum("latency_ms"),
    "timed": Sum("timed"),
}
_ANNOTATIONS = {f"sum_{name}": expression for name, expression in SUMS.items()}

Place = tuple[datetime, Any]  # beginning of a bucket, group


@dataclass(slots=True)
class Measured:
    totals: Activity
    runs: dict[str, int]  # ended runs by status
    buckets: dict[Place, Activity]  # those with something in them, in order
    truncated: bool  # there are more groups


def measure(
    tenant_id: UUID,
    mode: str,
    first: datetime,
    last: datetime,
    granularity: Granularity,
    column: str | None = None,
) -> Measured:
    """Add up the hours from `first` to `last`, inclusive.

    With a column, in its MAX_GROUPS groups of the most calls. Ended runs are known
    by the day: they are those of all days that the hours belong to.
    """
    whose = {"tenant_id": tenant_id, "mode": mode}
    days = {"day__range": (first.date(), last.date())}
    hours = (
        UsageHour.objects.filter(**whose, **days)
        .exclude(day=first.date(), hour__lt=first.hour)
        .exclude(day=last.date(), hour__gt=last.hour)
    )
    truncated, shown = False, hours
    if column:
        groups = _busiest(hours, column)
        truncated = len(groups) > MAX_GROUPS
        if truncated:
            shown = hours.filter(**{f"{column}__in": groups[:MAX_GROUPS]})
    buckets = _buckets(shown, granularity, column)
    ended = RunDay.objects.filter(**whose, **days, dimension="")
    return Measured(
        _totals(hours) if truncated else _merged(buckets),
        dict(ended.values_list("status").annotate(Sum("runs"))),
        buckets,
        truncated,
    )


def _busiest(hours: QuerySet[UsageHour], column: str) -> list[Any]:
    by_calls = hours.values_list(column, flat=True).annotate(sum=Sum("calls"))
    return list(by_calls.order_by("-sum", column)[: MAX_GROUPS + 1])


def _buckets(
    hours: QuerySet[UsageHour], granularity: Granularity, column: str | None
) -> dict[Place, Activity]:
    names = ["day", "hour"] if granularity == Granularity.HOUR else ["day"]
    names += [column] if column else []
    rows = hours.values_list(*names, "latency_band").annotate(**_ANNOTATIONS)
    buckets: dict[Place, Activity] = {}
    for row in rows.order_by(*names):
        *place, band = row[: len(names) + 1]
        group = place.pop() if column else None
        start = _start(granularity, *place)
        buckets.setdefault((start, group), Activity()).add(band, *row[len(names) + 1 :])
    return buckets


def _start(granularity: Granularity, day: date, hour: int = 0) -> datetime:
    if granularity == Granularity.WEEK:
        day -= timedelta(days=day.weekday())
    return datetime.combine(day, time(hour), UTC)


def _totals(hours: QuerySet[UsageHour]) -> Activity:
    totals = Activity()
    for band, *sums in hours.values_list("latency_band").annotate(**_ANNOTATIONS):
        totals.add(band, *sums)
    return totals


def _merged(buckets: dict[Place, Activity]) -> Activity:
    totals = Activity()
    for activity in buckets.values():
        totals.merge(activity)
    return totals
