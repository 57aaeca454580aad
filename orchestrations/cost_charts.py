"""What was spent, and on how many calls, over a time: two charts from one query."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.db.models import Case, F, IntegerField, Sum, Value, When
from django.db.models.functions import TruncMonth, TruncWeek

from lucid.charts import Series, Step, TimeSeries, Unit, starts_between, step_for
from orchestrations.cost_doors import CostDoors
from orchestrations.cost_groups import Row
from orchestrations.costs import GroupBy, Period
from orchestrations.models import UsageDay
from tenants.templatetags.pages import agent

MOST = 6  # groups with a line of their own
FEW = 4  # of more groups: the dearest, beside the rest and the steps
REST = -1
# A row of each step is what is fetched, rather than one of each day.
STARTS = {
    Step.DAY: F("day"),
    Step.WEEK: TruncWeek("day"),
    Step.MONTH: TruncMonth("day"),
}


class Charts(NamedTuple):
    cost: TimeSeries
    calls: TimeSeries


def draw_costs(doors: CostDoors, groups: Sequence[Row], *, truncated: bool) -> Charts:
    """Chart the groups of a page of costs, the dearest first."""
    period, group_by = doors.period, doors.group_by
    called = [group for group in groups if group.usage.calls]
    shown = [] if group_by == GroupBy.DAY else called
    shown = shown if len(shown) <= MOST else shown[:FEW]
    step = step_for(period.first, period.last)
    spent = _Spent(step)
    if group_by == GroupBy.DAY and not truncated:
        spent.take(groups)
    else:
        whose = doors.member.tenant.pk, doors.member.mode
        spent.read((*whose, period), group_by.column, shown)
    starts = starts_between(period.first, period.last, step)
    urls = [
        doors.calls_between(max(start, period.first), min(step.end(start), period.last))
        for start in starts
    ]
    series = [
        Series(
            agent(group.label),
            spent.costs_of(number, starts),
            doors.calls(**(group.filters or {})),
        )
        for number, group in enumerate(shown)
    ]
    others = spent.costs_of(REST, starts)
    if any(others) or not series:
        label = _rest(len(called) - len(shown), truncated) if shown else "Calls"
        series.append(Series(label, others, is_rest=bool(shown)))
    if any(spent.steps.values()):
        steps = [spent.steps[start] for start in starts]
        is_rest = len(series) == MOST
        series.append(Series("Steps", steps, doors.steps(), is_rest=is_rest))
    what = "it all" if group_by == GroupBy.DAY else f"each {NOUNS[group_by]}"
    calls = [spent.calls[start] for start in starts]
    return Charts(
        TimeSeries(
            f"What did {what} cost per {step}?", Unit.MONEY, step, starts, series, urls
        ),
        TimeSeries(
            f"How many calls were made per {step}?",
            Unit.COUNT,
            step,
            starts,
            [Series("Calls", calls, doors.calls())],
        ),
    )


def _rest(others: int, truncated: bool) -> str:
    return "All others" if truncated else f"{others:,} others"


NOUNS = {
    GroupBy.MODEL: "model",
    GroupBy.PROVIDER: "provider",
    GroupBy.AGENT: "agent",
    GroupBy.WORKFLOW: "workflow",
    GroupBy.API_KEY: "API key",
    GroupBy.DAY: "day",
}


class _Spent:
    def __init__(self, step: Step) -> None:
        self._step = step
        self._costs: dict[tuple[date, int], Decimal] = defaultdict(Decimal)
        self.steps: dict[date, Decimal] = defaultdict(Decimal)
        self.calls: dict[date, int] = defaultdict(int)

    def take(self, days: Sequence[Row]) -> None:
        """Count what is known of each day already."""
        for day in days:
            assert isinstance(day.key, date)  # noqa: S101
            usage = day.usage
            start = self._step.start(day.key)
            self._add(start, REST, usage.cost, usage.step_cost, usage.calls)

    def read(
        self, whose: tuple[UUID, str, Period], column: str, groups: Sequence[Row]
    ) -> None:
        tenant_id, mode, period = whose
        rows = UsageDay.objects.filter(
            tenant_id=tenant_id, mode=mode, day__range=(period.first, period.last)
        )
        numbers = [
            When(**{column: group.key}, then=Value(number))
            for number, group in enumerate(groups)
        ]
        group = Case(*numbers, default=Value(REST), output_field=IntegerField())
        grouped = rows.annotate(start=STARTS[self._step], group=group)
        sums = grouped.values_list("start", "group").annotate(
            charged=Sum(F("cost")), stepped=Sum("step_cost"), made=Sum("calls")
        )
        for row in sums:
            self._add(*row)

    def _add(
        self, start: date, group: int, cost: Decimal, step_cost: Decimal, calls: int
    ) -> None:
        self._costs[start, group] += cost
        self.steps[start] += step_cost
        self.calls[start] += calls

    def costs_of(self, number: int, starts: Sequence[date]) -> list[Decimal]:
        return [self._costs[start, number] for start in starts]
