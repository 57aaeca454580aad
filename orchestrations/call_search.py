"""Finding calls, newest first, at a price that does not depend on how rare they are.

There may be ten million calls, and the only index that is of use is the one by time:
another for each name would have to be written with every call. So the rollups are
asked first: the newest days that have calls which pass, then the hours of those days,
and only these hours are read. A page may then have fewer rows than fit, or none, and
there may still be older ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum

from lucid.api.pagination import MICROSECOND, cut
from orchestrations.call_filter import CallFilter
from orchestrations.models import Inference, UsageDay, UsageHour

HOUR = timedelta(hours=1)
MAX_DAYS = 10  # that hours are looked for in
MAX_HOURS = 16  # that calls are looked for in
MAX_READ = 20_000  # calls in these hours, most of which may not pass
FIRST_ID = UUID(int=0)

Place = tuple[datetime, UUID]
Range = tuple[datetime, datetime]  # the first moment, and the first that is after


@dataclass(frozen=True)
class Found:
    calls: list[Inference]
    next_place: Place | None  # older ones come after it; None: there are none
    looked_back_to: datetime | None = None  # where the page ends before it is full


@dataclass(frozen=True)
class Totals:
    calls: int
    cost: Decimal | None  # None: rollups do not have it
    unpriced: int  # by now


def add_up(tenant_id: UUID, mode: str, asked: CallFilter) -> Totals:
    """Return how many calls pass and what they cost, from the rollups alone."""
    rows = UsageDay.objects.filter(
        asked.days, tenant_id=tenant_id, mode=mode, **asked.names
    )
    sums = rows.aggregate(
        counted=Sum(asked.counted, default=0),
        sum_cost=Sum("cost", default=Decimal(0)),
        unpriced_then=Sum("unpriced", default=0),
        later=Sum("priced_later", default=0),
    )
    unpriced = sums["unpriced_then"] - sums["later"]
    if asked.unpriced:
        return Totals(unpriced, None, unpriced)
    cost = None if asked.failed else sums["sum_cost"]
    return Totals(sums["counted"], cost, unpriced)


def find_calls(
    tenant_id: UUID, mode: str, asked: CallFilter, place: Place | None, limit: int
) -> Found:
    """Return a page of the calls that pass, those after `place`."""
    rows = Inference.objects.filter(tenant_id=tenant_id, mode=mode)
    if asked.orchestration_id or asked.unknown:  # which have an index of their own
        return _page(rows.filter(asked.times, asked.passing, _after(place)), limit)
    if asked.is_any:
        return _page(rows.filter(asked.times, _after(place)), limit)
    window = _Search(tenant_id, mode, asked, place).window(limit)
    if not window.ranges:
        return Found([], None)
    parts = [
        rows.filter(
            asked.passing,
            _after(place),
            recorded_at__gte=start,
            recorded_at__lt=end,
        )
        for start, end in window.ranges
    ]
    first, *others = parts
    found = _page(first.union(*others, all=True) if others else first, limit)
    if found.next_place or not window.goes_on:
        return found
    earliest = window.ranges[-1][0]
    return Found(found.calls, (earliest, FIRST_ID), earliest)


def _page(rows: "QuerySet[Inference]", limit: int) -> Found:
    calls, more = cut(rows.order_by("-recorded_at", "-receipt_id"), limit)
    last = calls[-1] if more else None
    return Found(calls, (last.recorded_at, last.pk) if last else None)


def _after(place: Place | None) -> Q:
    if place is None:
        return Q()
    moment, identifier = place
    older = Q(recorded_at__lt=moment) | Q(receipt_id__lt=identifier)
    return Q(recorded_at__lte=moment) & older


@dataclass(frozen=True)
class _Window:
    ranges: Sequence[Range]  # the newest first
    goes_on: bool  # there may be calls that pass before it


@dataclass(frozen=True)
class _Hour:
    start: datetime
    calls: int
    passing: int


class _Search:
    def __init__(
        self, tenant_id: UUID, mode: str, asked: CallFilter, place: Place | None
    ) -> None:
        self._whose = {"tenant_id": tenant_id, "mode": mode}
        self._asked = asked
        self._place = place
        self._until = _latest(place)

    def window(self, limit: int) -> _Window:
        days, more_days = self._days(limit)
        hours, more_hours = self._hours(days)
        taken = list(self._enough(hours, limit))
        goes_on = more_days or more_hours or len(taken) < len(hours)
        if len(taken) == 1 and taken[0].calls > MAX_READ:
            return self._part_of(taken[0], goes_on=goes_on)
        return _Window(list(_ranges(hour.start for hour in taken)), goes_on)

    def _days(self, limit: int) -> tuple[list[date], bool]:
        """Return the newest days with calls that pass; and whether there are more."""
        rows = UsageDay.objects.filter(
            self._asked.days, **self._whose, **self._asked.names
        )
        if self._until:
            rows = rows.filter(day__lte=self._until.date())
        counted, later = Sum(self._asked.counted), Sum("priced_later")
        days = rows.values_list("day").annotate(counted=counted, later=later)
        least = F("later") if self._asked.unpriced else 0
        days = days.filter(counted__gt=least).order_by("-day")
        found = [(day, count) for day, count, _ in days[: MAX_DAYS + 1]]
        taken = list(self._as_many(found[:MAX_DAYS], limit))
        return taken, len(taken) < len(found)

    def _as_many(self, days: list[tuple[date, int]], limit: int) -> Iterable[date]:
        """Yield days until they have enough of calls that pass."""
        # Where rollups do not know how many pass: until there is enough to read.
        enough = limit if self._asked.is_summed else MAX_READ
        passing = 0
        for number, (day, count) in enumerate(days):
            if passing > enough:
                return
            yield day
            if number or self._place is None:  # of the first, a part is above it
                passing += count

    def _hours(self, days: list[date]) -> tuple[list[_Hour], bool]:
        """Return the newest hours of these days, with calls that pass; and whether
        there are more.
        """
        rows = UsageHour.objects.filter(**self._whose, day__in=days)
        passing = dict(self._newest(rows))
        newest = list(passing)[:MAX_HOURS]
        there = Q(pk=None)
        for day, same_day in groupby(newest, lambda place: place[0]):
            there |= Q(day=day, hour__in=[hour for _, hour in same_day])
        sums = rows.filter(there).values_list("day", "hour").annotate(Sum("calls"))
        calls = {(day, hour): count for day, hour, count in sums}
        found = [
            _Hour(_start(*place), calls[place], passing[place]) for place in newest
        ]
        return found, len(passing) > len(newest)

    def _newest(
        self, rows: "QuerySet[UsageHour]"
    ) -> Iterable[tuple[tuple[date, int], int]]:
        """Yield the hours in which calls pass, with how many, the newest first."""
        named = rows.filter(
            **self._asked.names, **{f"{self._asked.counted}__gt": 0}
        ).values_list("day", "hour")
        counts = named.annotate(passing=Sum(self._asked.counted))
        for day, hour, passing in counts.order_by("-day", "-hour"):
            if self._until is None or _start(day, hour) <= self._until:
                yield (day, hour), passing

    def _enough(self, hours: list[_Hour], limit: int) -> Iterable[_Hour]:
        """Yield hours while they are few, and so are their calls."""
        calls = passing = 0
        for number, hour in enumerate(hours):
            calls += hour.calls
            if number and (passing > limit or calls > MAX_READ):
                return
            yield hour
            if self._asked.is_summed and (number or self._place is None):
                passing += hour.passing  # of the first, a part is above the place

    def _part_of(self, hour: _Hour, *, goes_on: bool) -> _Window:
        """Return so much of an hour with very many calls as can be read."""
        rows = Inference.objects.filter(
            _after(self._place),
            **self._whose,
            recorded_at__gte=hour.start,
            recorded_at__lt=hour.start + HOUR,
        )
        times = rows.order_by("-recorded_at").values_list("recorded_at", flat=True)
        start = next(iter(times[MAX_READ : MAX_READ + 1]), None)
        if start is None:
            return _Window([(hour.start, hour.start + HOUR)], goes_on)
        return _Window([(start, hour.start + HOUR)], goes_on=True)


def _latest(place: Place | None) -> datetime | None:
    """Return the latest moment at which there may be calls after a place."""
    if place is None:
        return None
    moment, identifier = place
    return moment - MICROSECOND if identifier == FIRST_ID else moment


def _start(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def _ranges(starts: Iterable[datetime]) -> Iterable[Range]:
    """Join hours that follow each other; the newest come first."""
    end = start = None
    for hour in starts:
        if start is not None and hour + HOUR == start:
            start = hour
            continue
        if start is not None and end is not None:
            yield start, end
        start, end = hour, hour + HOUR
    if start is not None and end is not None:
        yield start, end
