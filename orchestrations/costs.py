"""What calls, steps and runs cost over a time, from the rollup tables alone.

A year of them is some thousand rows, whatever was recorded. Both periods that are
compared are added up by one query, in the database, as integers.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, F, Q, Sum

from orchestrations.bands import COSTS
from orchestrations.ended_runs import Asked, Band, bands_of
from orchestrations.models import RunDay, UsageDay
from orchestrations.money import from_nanocents, quantize
from orchestrations.usage_sums import Days, sums_of

MAX_GROUPS = 1000
# So many sums of one key in one period are worth reading: two for each of the
# longest time's days. Beyond that, the database adds the totals up itself.
MAX_ROWS = 8000

Key = str | UUID | date
Place = tuple[bool, Key]  # in the period, or the one before it; the group
ALL = ""  # the key of what is not grouped


class GroupBy(StrEnum):
    MODEL = "model"
    PROVIDER = "provider"
    AGENT = "agent_id"
    WORKFLOW = "workflow_id"
    API_KEY = "api_key"
    DAY = "day"

    @property
    def column(self) -> str:
        return "api_key_id" if self == GroupBy.API_KEY else self.value


@dataclass(frozen=True, slots=True)
class Period:
    """UTC days from the first to the last, inclusive."""

    first: date
    last: date

    @property
    def length(self) -> timedelta:
        return self.last - self.first + timedelta(days=1)

    def previous(self) -> "Period":
        return Period(self.first - self.length, self.last - self.length)


@dataclass(slots=True)
class Usage:
    """Sums of UsageDay columns of these names."""

    calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    list_price: Decimal = Decimal(0)
    adjustment: Decimal = Decimal(0)
    unpriced: int = 0
    priced_later: int = 0
    flagged: int = 0
    failed: int = 0
    steps: int = 0
    step_cost: Decimal = Decimal(0)

    def __add__(self, other: Self) -> "Usage":
        return Usage(*(getattr(self, n) + getattr(other, n) for n in USAGE_COLUMNS))

    @property
    def total_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.output_tokens
        )

    @property
    def adjusted_cost(self) -> Decimal:
        return self.cost + self.adjustment

    @property
    def total_cost(self) -> Decimal:
        return self.cost + self.step_cost

    @property
    def still_unpriced(self) -> int:
        return self.unpriced - self.priced_later


USAGE_COLUMNS = [column.name for column in fields(Usage)]
SUMS = {f"sum_{name}": Sum(name) for name in USAGE_COLUMNS}


@dataclass(slots=True)
class Runs:
    """Ended runs: how many, what they cost, and how many in each band of costs."""

    count: int = 0
    cost: Decimal = Decimal(0)
    bands: dict[int, int] = field(default_factory=dict)

    def add(self, band: int, runs: int, cost: Decimal) -> None:
        self.count += runs
        self.cost += cost
        self.bands[band] = self.bands.get(band, 0) + runs

    @property
    def average_cost(self) -> Decimal | None:
        return quantize(self.cost / self.count) if self.count else None

    @property
    def p95_cost(self) -> Decimal | None:
        (nanocents,) = COSTS.percentiles(self.bands, [0.95])
        return None if nanocents is None else from_nanocents(round(nanocents))


@dataclass(slots=True)
class Totals:
    usage: Usage = field(default_factory=Usage)
    runs: Runs = field(default_factory=Runs)


@dataclass(slots=True)
class Group:
    key: Key
    totals: Totals
    previous: Usage  # of the same key; of a day, the day a period's length before


@dataclass(slots=True)
class Summary:
    totals: Totals
    previous: Totals
    groups: list[Group]
    truncated: bool  # there are more groups


def summarise(
    tenant_id: UUID,
    mode: str,
    period: Period,
    group_by: GroupBy | None = None,
    *,
    with_runs_of_days: bool = True,
) -> Summary:
    """Add a period up, and the one before it; in groups if told by what.

    Groups are those of the period, the dearest first, days in their order. Without
    bands, of which each day has its own, nothing is known of the runs of a day.
    """
    rows = _Rows(tenant_id, mode, period, with_runs_of_days=with_runs_of_days)
    totals = rows.runs()
    if group_by is None:
        return _summary(rows.usage(), totals, [], truncated=False)
    usage = rows.usage_by(group_by)
    complete = len(usage) <= MAX_ROWS
    if not complete:
        usage = rows.dearest(usage, group_by)
    runs = rows.runs_by(group_by, None if complete else usage)
    groups = _groups(usage, runs, period.length if group_by == GroupBy.DAY else None)
    return _summary(
        _folded(usage) if complete else rows.usage(),
        totals,
        groups[:MAX_GROUPS],
        truncated=not complete or len(groups) > MAX_GROUPS,
    )


class _Rows:
    """The rows of a period and of the one before it, of one mode of one tenant."""

    def __init__(
        self, tenant_id: UUID, mode: str, period: Period, *, with_runs_of_days: bool
    ) -> None:
        self._with_runs_of_days = with_runs_of_days
        self._whose = tenant_id, mode
        self._period = period

    def usage(self) -> dict[Place, Usage]:
        rows = self._sums()
        # Where nothing is counted there is a row all the same, as of any one sum.
        counted = ((now, sums) for now, *sums in rows if sums[0] is not None)
        return _added_up((now, ALL, *sums) for now, sums in counted)

    def usage_by(self, group_by: GroupBy) -> dict[Place, Usage]:
        """Return the first MAX_ROWS and one more: the period's, the dearest first."""
        if group_by != GroupBy.DAY:
            rows = list(self._sums(group_by.column)[: MAX_ROWS + 1])
            if len(rows) <= MAX_ROWS:
                return _added_up(rows)
        rows = self._days().values_list("current", group_by.column)
        dearest = (F("sum_cost") + F("sum_step_cost")).desc()
        ordered = rows.annotate(**SUMS).order_by("-current", dearest, group_by.column)
        return _added_up(ordered[: MAX_ROWS + 1])

    def _sums(self, *names: str) -> Any:
        now, before = self._period, self._period.previous()
        periods = [Days(now.first, now.last), Days(before.first, before.last, False)]
        return sums_of(*self._whose, periods, names, SUMS)

    def _days(self) -> Any:
        tenant_id, mode = self._whose
        days = (self._period.previous().first, self._period.last)
        rows = UsageDay.objects.filter(tenant_id=tenant_id, mode=mode, day__range=days)
        # To group by it costs half of what two FILTERs of every sum do.
        current = ExpressionWrapper(Q(day__gte=self._period.first), BooleanField())
        return rows.annotate(current=current)

    def dearest(
        self, usage: dict[Place, Usage], group_by: GroupBy
    ) -> dict[Place, Usage]:
        """Return as many groups as are shown, with what they cost before."""
        shown = {place: usage[place] for place in list(usage)[:MAX_GROUPS] if place[0]}
        named = {f"{group_by.column}__in": [key for _, key in shown]}
        rows = self._days().filter(current=False, **named)
        earlier = rows.values_list("current", group_by.column).annotate(**SUMS)
        return shown | _added_up(earlier)

    def runs(self) -> dict[Place, Runs]:
        now = self._asked(self._period)
        before = self._asked(self._period.previous(), current=False)
        return _counted(bands_of(now, before))

    def _asked(self, period: Period, **options: Any) -> Asked:
        return Asked(*self._whose, period.first, period.last, **options)

    def runs_by(
        self, group_by: GroupBy, among: Iterable[Place] | None
    ) -> dict[Place, Runs]:
        if group_by == GroupBy.DAY:
            return self._runs_by_day()
        values = None if among is None else {str(key) for _, key in among}
        asked = self._asked(self._period, dimension=group_by.value, among=values)
        runs = _counted(bands_of(asked))
        if group_by == GroupBy.API_KEY:
            return {
                (current, UUID(str(key))): it for (current, key), it in runs.items()
            }
        return runs

    def _runs_by_day(self) -> dict[Place, Runs]:
        days = Q(day__range=(self._period.first, self._period.last))
        if self._with_runs_of_days:
            return {(True, day): it for day, it in _banded(*self._whose, days).items()}
        ended_on = _of_all_runs(*self._whose, days).values_list("day", flat=True)
        return {(True, day): Runs() for day in ended_on.distinct()}


def runs_of_days(
    tenant_id: UUID, mode: str, days: Collection[date]
) -> dict[date, Runs]:
    """Return the runs that ended on each of these days, with their bands."""
    return _banded(tenant_id, mode, Q(day__in=days))


def _banded(tenant_id: UUID, mode: str, days: Q) -> dict[date, Runs]:
    counted: dict[date, Runs] = defaultdict(Runs)
    bands = _of_all_runs(tenant_id, mode, days).values_list("day", "cost_band")
    sums = bands.annotate(sum_runs=Sum("runs"), sum_cost=Sum("cost"))
    for day, band, runs, cost in sums:
        counted[day].add(band, runs, cost)
    return counted


def _of_all_runs(tenant_id: UUID, mode: str, days: Q) -> Any:
    return RunDay.objects.filter(days, tenant_id=tenant_id, mode=mode, dimension="")


def _added_up(rows: Iterable[tuple[Any, ...]]) -> dict[Place, Usage]:
    added: dict[Place, Usage] = {}
    for current, key, *sums in rows:
        known = added.get((current, key))
        added[current, key] = known + Usage(*sums) if known else Usage(*sums)
    return added


def _counted(bands: Iterable[Band]) -> dict[Place, Runs]:
    counted: dict[Place, Runs] = defaultdict(Runs)
    for current, value, band, runs, cost in bands:
        counted[current, value].add(band, runs, cost)
    return counted


def _folded(usage: dict[Place, Usage]) -> dict[Place, Usage]:
    folded: dict[Place, Usage] = {}
    for (current, _), sums in usage.items():
        folded[current, ALL] = folded.get((current, ALL), Usage()) + sums
    return folded


def _groups(
    usage: dict[Place, Usage], runs: dict[Place, Runs], shift: timedelta | None
) -> list[Group]:
    # A run that ended in the period may have made its calls before it.
    keys = [key for current, key in usage | runs if current]
    groups = [
        Group(
            key,
            Totals(usage.get((True, key), Usage()), runs.get((True, key), Runs())),
            usage.get((False, _before(key, shift)), Usage()),
        )
        for key in keys
    ]
    if shift:
        return sorted(groups, key=lambda group: str(group.key))
    return sorted(groups, key=lambda it: (-it.totals.usage.total_cost, str(it.key)))


def _before(key: Key, shift: timedelta | None) -> Key:
    return key - shift if shift and isinstance(key, date) else key


def _summary(
    usage: dict[Place, Usage],
    runs: dict[Place, Runs],
    groups: list[Group],
    *,
    truncated: bool,
) -> Summary:
    now, before = (
        Totals(usage.get(place, Usage()), runs.get(place, Runs()))
        for place in ((True, ALL), (False, ALL))
    )
    return Summary(now, before, groups, truncated)
