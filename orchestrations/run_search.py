"""Finding runs for a page: by what the API filters them too, by end, and by a call.

What no index knows, like a status or the model of a call, is looked for in so many
runs and no more; the page then says how far back it has looked.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q
from django.utils import timezone

from lucid.api.pagination import EPOCH, MICROSECOND, cut
from orchestrations.claims import ID_PREFIX
from orchestrations.ended_runs import Asked, bands_of
from orchestrations.models import Inference, Orchestration, RunDay
from orchestrations.run_filter import Rows, RunFilter, cursor_of, newest_of, passing
from orchestrations.ulid import ALPHABET, LENGTH

LOOKED_THROUGH = 10_000
LOOKED_INTO = 1_000  # where calls are looked at, of which runs have many
LOOKED_UP = 2  # names of a call, in the rollups: some 15 ms each, of a year

BY_START = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")
# Microseconds since 1970; no ULID where a page ended with all runs of that time.
BY_END = re.compile(f"([0-9]{{1,16}})-((?:{BY_START.pattern})?)")


class Place(NamedTuple):
    """Of a run in the list; `ended_at` is None where the list is by start."""

    ended_at: datetime | None
    run_id: str

    @property
    def cursor(self) -> str:
        if self.ended_at is None:
            return cursor_of(self.run_id)
        return f"{(self.ended_at - EPOCH) // MICROSECOND}-{cursor_of(self.run_id)}"

    @property
    def older(self) -> Q:
        """The runs after this place."""
        if self.ended_at is None:
            return Q(pk__lt=self.run_id)
        earlier = Q(ended_at__lt=self.ended_at) | Q(pk__lt=self.run_id)
        return Q(ended_at__lte=self.ended_at) & earlier

    @property
    def newer(self) -> Q:
        """The runs down to this place."""
        if self.ended_at is None:
            return Q(pk__gte=self.run_id)
        return Q(ended_at__gte=self.ended_at)

    @property
    def time(self) -> datetime:
        if self.ended_at is not None:
            return self.ended_at
        starts = Orchestration.objects.values_list("started_at", flat=True)
        return starts.get(pk=self.run_id)


@dataclass(frozen=True)
class Found:
    """A page of runs. Where a filter ran out of rows to look through, it says so."""

    runs: list[Orchestration]
    next_cursor: str | None
    looked_back_to: datetime | None = None


@dataclass(frozen=True)
class Counted:
    runs: int
    cost: Decimal  # of the calls that were asked for, where some were


@dataclass(frozen=True)
class RunSearch:
    """With a day of the end, the list has ended runs alone, in the order of the end."""

    asked: RunFilter
    cursor: str = ""
    first: date | None = None  # UTC days of the end, as rollups have them
    last: date | None = None
    call: dict[str, Any] = field(default_factory=dict)  # SPENT_BY of one of its calls

    @property
    def is_by_end(self) -> bool:
        return bool(self.first or self.last)

    @property
    def is_lost(self) -> bool:
        """Whether its cursor points at no place in this list."""
        return bool(self.cursor) and self._place is None

    @property
    def most(self) -> int:
        """How many runs are looked through for a page."""
        return LOOKED_INTO if self.call else LOOKED_THROUGH

    @cached_property
    def _place(self) -> Place | None:
        found = (BY_END if self.is_by_end else BY_START).fullmatch(self.cursor)
        if found is None:
            return None
        if not self.is_by_end:
            return Place(None, ID_PREFIX + found[0])
        return Place(EPOCH + int(found[1]) * MICROSECOND, ID_PREFIX + found[2])

    def page(self, tenant_id: UUID, mode: str) -> Found:
        """Return a page of them, from as few rows as can be answered for at once."""
        runs = self._in_order(tenant_id, mode)
        runs = runs.filter(self._days(tenant_id, mode), **self._along)
        if self._place is not None:
            runs = runs.filter(self._place.older)
        end = self._end_of_window(runs)
        if end is not None:
            runs = runs.filter(end.newer)
        page, more = cut(self._passing(runs, tenant_id), self.asked.limit)
        if more:
            return Found(page, self._place_of(page[-1]).cursor)
        if end is not None:
            return Found(page, end.cursor, end.time)
        return Found(page, None)

    def counted(self, tenant_id: UUID, mode: str) -> Counted | None:
        """Return what the rollups say of all of them; None where they cannot."""
        if not self.is_by_end or self._looked_for or len(self.call) > 1:
            return None
        dimension, values = "", None
        for name, value in self.call.items():
            dimension, values = _dimension(name), {str(value)}
        days = self.first or date.min, self.last or timezone.now().date()
        asked = Asked(tenant_id, mode, *days, dimension, values)
        bands = list(bands_of(asked))
        cost = sum((band.cost for band in bands), Decimal(0))
        return Counted(sum(band.runs for band in bands), cost)

    @property
    def _along(self) -> dict[str, Any]:
        """What is known of each run on the way; the index of ends knows no more."""
        return {} if self.is_by_end else self.asked.indexed

    @property
    def _looked_for(self) -> dict[str, Any]:
        indexed = self.asked.indexed if self.is_by_end else {}
        return indexed | self.asked.looked_for

    def _passing(self, runs: Rows, tenant_id: UUID) -> Rows:
        runs = passing(runs, self._looked_for)
        if not self.call:
            return runs
        calls = Inference.objects.filter(
            ~Q(orchestration_id=""),  # or the index could not be used
            tenant_id=tenant_id,
            orchestration_id=OuterRef("pk"),
            **self.call,
        )
        return runs.filter(Exists(calls))

    def _in_order(self, tenant_id: UUID, mode: str) -> Rows:
        if not self.is_by_end:
            return newest_of(tenant_id, mode)
        runs = Orchestration.objects.filter(tenant_id=tenant_id, mode=mode)
        return runs.order_by("-ended_at", "-id")

    def _place_of(self, run: Orchestration) -> Place:
        return Place(run.ended_at if self.is_by_end else None, run.pk)

    def _end_of_window(self, runs: Rows) -> Place | None:
        """Return the place of the last run to look at, if there are others after it."""
        if not (self._looked_for or self.call):
            return None
        # This alone, which is in the index that is walked along.
        if self.is_by_end:
            ends = runs.order_by("-ended_at").values_list("ended_at", flat=True)
            last = list(ends[self.most - 1 : self.most + 1])
            return Place(last[0], ID_PREFIX) if len(last) > 1 else None
        ids = runs.values_list("pk", flat=True)[self.most - 1 : self.most + 1]
        return Place(None, ids[0]) if len(ids) > 1 else None

    def _days(self, tenant_id: UUID, mode: str) -> Q:
        """Bound the end by the days that are asked for, and on which there are any."""
        if not self.is_by_end:
            return Q()
        first, last = self.first, self.last
        for name, value in list(self.call.items())[:LOOKED_UP]:
            days = self._days_with(name, value).filter(tenant_id=tenant_id, mode=mode)
            found = days.aggregate(first=Min("day"), last=Max("day"))
            if found["last"] is None:
                return Q(pk=None)
            first = max(found["first"], first or date.min)
            last = min(found["last"], last or date.max)
        return _between(first, last)

    def _days_with(self, name: str, value: Any) -> Any:
        """Return the rollups of runs that have such a call, as far as the cursor."""
        days = RunDay.objects.filter(dimension=_dimension(name), value=str(value))
        if self._place and self._place.ended_at:
            days = days.filter(day__lte=self._place.ended_at.date())
        if self.first:
            days = days.filter(day__gte=self.first)
        return days.filter(day__lte=self.last) if self.last else days


def _dimension(column: str) -> str:
    """Return how rollups of runs call a column of calls."""
    return "api_key" if column == "api_key_id" else column


def _between(first: date | None, last: date | None) -> Q:
    """Bound the end by days; there is one, or nobody would ask."""
    ended = Q(ended_at__isnull=False)
    if first:
        ended &= Q(ended_at__gte=datetime.combine(first, time.min, UTC))
    if last:
        ended &= Q(ended_at__lte=datetime.combine(last, time.max, UTC))
    return ended
