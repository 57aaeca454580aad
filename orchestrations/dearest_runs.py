"""The dearest runs that ended within a period.

RunDay counts runs by bands of cost, so it tells from which band on there are enough.
Runs that are as dear are walked through by their cost, whenever they ended; if these
are too many, as where runs used to cost more, then by their end, of those days alone
on which one was as dear. Both indexes are written once for each run: when it ends.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum

from orchestrations.bands import COSTS
from orchestrations.call_filter import midnight
from orchestrations.costs import Period
from orchestrations.models import Orchestration, RunDay, RunMonth
from orchestrations.money import from_nanocents

HOW_MANY = 20
MAX_WALKED = 20_000  # runs as dear, whenever they ended
MAX_READ = 20_000  # runs of days, that may be among them

FIELDS = (
    "id",
    "tenant_id",
    "name",
    "agent_id",
    "workflow_id",
    "status",
    "started_at",
    "ended_at",
    "inference_count",
    "unpriced_count",
    "cost",
    "step_cost",
)


@dataclass(frozen=True)
class Dearest:
    runs: list[Orchestration]
    left_out: int = 0  # days that may have one as dear, and were not looked at


def dearest_runs(
    tenant_id: UUID, mode: str, period: Period, bands: Mapping[int, int]
) -> Dearest:
    """Find them, given how many of the period's runs are in each band of costs."""
    lowest = _lowest_band(bands)
    as_dear = Orchestration.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        final_cost__gte=from_nanocents(COSTS.least(lowest)),
    )
    if _of_all_times(tenant_id, mode, lowest) <= MAX_WALKED:
        days = [(period.first, period.last)]
        return Dearest(_first(as_dear.filter(_ended_within(days))))
    days_with = _days_with(tenant_id, mode, period, lowest)
    taken = sorted(_enough(days_with))
    rows = as_dear.filter(_ended_within(_stretches(taken))) if taken else as_dear.none()
    return Dearest(_first(rows), len(days_with) - len(taken))


def _first(runs: QuerySet[Orchestration]) -> list[Orchestration]:
    ordered = runs.only(*FIELDS).order_by("-final_cost", "-ended_at", "-pk")
    return list(ordered[:HOW_MANY])


def _of_all_times(tenant_id: UUID, mode: str, lowest: int) -> int:
    """Return how many runs are in this band or a higher one, whenever they ended."""
    months = RunMonth.objects.filter(
        tenant_id=tenant_id, mode=mode, dimension="", cost_band__gte=lowest
    )
    return months.aggregate(runs=Sum("runs"))["runs"] or 0


def _lowest_band(bands: Mapping[int, int]) -> int:
    """Return the band that holds the last of the dearest."""
    found = 0
    for band in sorted(bands, reverse=True):
        found += bands[band]
        if found >= HOW_MANY:
            return band
    return 0


def _days_with(
    tenant_id: UUID, mode: str, period: Period, lowest: int
) -> list[tuple[date, int]]:
    """Return the days that can have one of them, and how many runs of each can be:
    the days of the highest band first, then the newest.
    """
    rows = RunDay.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        dimension="",
        day__range=(period.first, period.last),
        cost_band__gte=lowest,
    )
    days = rows.values_list("day").annotate(highest=Max("cost_band"), count=Sum("runs"))
    return [(day, count) for day, _, count in days.order_by("-highest", "-day")]


def _enough(days: Iterable[tuple[date, int]]) -> Iterator[date]:
    runs = 0
    for number, (day, count) in enumerate(days):
        runs += count
        if number and runs > MAX_READ:
            return
        yield day


def _ended_within(stretches: Iterable[tuple[date, date]]) -> Q:
    ended = Q()
    for first, last in stretches:
        after = midnight(last + timedelta(days=1))
        ended |= Q(ended_at__gte=midnight(first), ended_at__lt=after)
    return ended


def _stretches(days: list[date]) -> Iterator[tuple[date, date]]:
    """Join days that follow each other."""
    first = last = days[0]
    for day in days[1:]:
        if day - last > timedelta(days=1):
            yield first, last
            first = day
        last = day
    yield first, last
