"""What a tenant's first page says of a period, and of the one before it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from lucid.charts import Series, Step, TimeSeries, Unit, Value
from lucid.comparison import compared
from orchestrations.costs import Period, Usage
from orchestrations.models import RunDay, UsageDay
from receipts.growth import sizes_at
from receipts.models import Log

Whose = tuple[UUID, str]  # tenant and mode

DAY = timedelta(days=1)
# What the page says of each day, and no more: a sum takes time for each row.
SUMMED = (
    "calls",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "cost",
    "step_cost",
    "unpriced",
    "priced_later",
    "failed",
)
SUMS = {f"sum_{name}": Sum(name) for name in SUMMED}


@dataclass(frozen=True)
class Figure:
    """A number of the period beside that of the one before; None is unpriced."""

    label: str
    now: Value
    before: Value
    days: int
    url: str = ""
    before_url: str = ""
    is_money: bool = False

    @property
    def earlier(self) -> str:
        return f"the {self.days} days before"

    @property
    def change(self) -> str:
        """What is said between the number and the one of before; "" of nothing."""
        return compared(self.now or 0, self.before or 0)


@dataclass(frozen=True)
class Spent:
    """Calls and steps of each day of a period and of the one before it."""

    period: Period
    by_day: dict[date, Usage]

    @property
    def now(self) -> Usage:
        return self._sum(self.period)

    @property
    def before(self) -> Usage:
        return self._sum(self.period.previous())

    def of(self, day: date) -> Usage:
        return self.by_day.get(day, Usage())

    def _sum(self, period: Period) -> Usage:
        return sum((self.of(day) for day in days_of(period)), Usage())


def days_of(period: Period) -> Iterator[date]:
    return (period.first + number * DAY for number in range(period.length.days))


def spent_in(whose: Whose, period: Period) -> Spent:
    tenant_id, mode = whose
    days = UsageDay.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        day__range=(period.previous().first, period.last),
    )
    rows = days.order_by().values_list("day").annotate(**SUMS)
    by_day = {day: Usage(**dict(zip(SUMMED, sums, strict=True))) for day, *sums in rows}
    return Spent(period, by_day)


def runs_in(whose: Whose, period: Period) -> tuple[int, int]:
    """Return how many runs ended in a period, and in the one before."""
    tenant_id, mode = whose
    days = RunDay.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        dimension="",
        day__range=(period.previous().first, period.last),
    )
    rows = days.order_by().values_list("day").annotate(Sum("runs"))
    now = before = 0
    for day, runs in rows:
        if day < period.first:
            before += runs
        else:
            now += runs
    return now, before


@dataclass(frozen=True)
class Entries:
    """Entries that a log got in a time, which follow each other."""

    first: int
    after: int  # the first that is none of them

    @property
    def count(self) -> int:
        return self.after - self.first


def entries_in(log: Log, period: Period) -> tuple[Entries, Entries]:
    """Return what a log got in a period up to now, and in the one before."""
    earlier, begin = sizes_at(
        log, [_midnight(period.previous().first), _midnight(period.first)]
    )
    return Entries(begin, log.size), Entries(earlier, begin)


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def known_cost(usage: Usage) -> Decimal | None:
    """Return what was charged; None where no call has a price."""
    has_price = not usage.calls or usage.calls > usage.unpriced or usage.step_cost
    return usage.total_cost if has_price else None


def charts_of(
    spent: Spent, cost_urls: list[str], call_urls: list[str]
) -> list[TimeSeries]:
    """Draw cost and calls of each day; the addresses lead to the records of each."""
    days = list(days_of(spent.period))
    usage = [spent.of(day) for day in days]
    costs = Series("Cost", [known_cost(it) for it in usage])
    calls = Series("Calls", [it.calls for it in usage])
    return [
        TimeSeries(
            "What did each day cost?", Unit.MONEY, Step.DAY, days, [costs], cost_urls
        ),
        TimeSeries(
            "How many calls were there each day?",
            Unit.COUNT,
            Step.DAY,
            days,
            [calls],
            call_urls,
        ),
    ]
