"""The page of costs: what was spent in a period, on what, and by which runs."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from lucid.charts import Share
from lucid.comparison import compared
from lucid.csv_answer import csv_answer
from orchestrations.cost_charts import draw_costs
from orchestrations.cost_doors import YES, CostDoors, RowDoors
from orchestrations.cost_forms import SORTS, TABLES, CostForm
from orchestrations.cost_groups import Row, Table, table_of
from orchestrations.cost_periods import Preset
from orchestrations.cost_tables import Question, token_split
from orchestrations.costs import GroupBy, Runs, Summary, runs_of_days, summarise
from orchestrations.dearest_runs import dearest_runs
from orchestrations.models import CostSource
from orchestrations.monthly_budget import budget_of
from orchestrations.unpriced_models import unpriced_models
from tenants import events
from tenants.page_access import Member, PageRequest, member
from tenants.roles import Right

TOP = 20
TOP_DAYS = 31
MANY = 100  # on a page of nothing but groups


@dataclass(frozen=True)
class Costs:
    """What the form asks for, of the tenant and the mode of the page."""

    member: Member
    form: CostForm

    @property
    def whose(self) -> tuple[Any, str]:
        return self.member.tenant.pk, self.member.mode

    @property
    def question(self) -> Question:
        form = self.form
        return Question(*self.whose, form.asked.period, form.group_by, form.order)

    @property
    def doors(self) -> CostDoors:
        form = self.form
        return CostDoors(self.member, form.asked.period, form.group_by, form.grouping)

    def shown(self, row: Row, table: Table) -> "ShownRow":
        share = row.share_of(table.total.usage.total_cost)
        return ShownRow(row, share, self.doors.of(row))

    def page(self, **changes: Any) -> str:
        """Return this page's address with other choices."""
        given = self.form.cleaned_data
        kept = {
            name: given[name] for name in ("period", "from", "to", "by", "sort", "skip")
        }
        return self.member.address("costs", **(kept | changes))


@dataclass(frozen=True)
class ShownRow:
    """A group as the page has it."""

    it: Row
    share: Share
    doors: RowDoors


@member(can=Right.READ_COSTS)
def costs(request: PageRequest) -> HttpResponseBase:
    form = CostForm(request.GET, timezone.now().date())
    if not form.is_valid():
        return render(request, "orchestrations/costs.html", {"form": form}, status=400)
    asked = Costs(request.member, form)
    if form.is_csv:
        return _csv(request, asked)
    summary = summarise(
        *asked.whose, form.asked.period, form.group_by, with_runs_of_days=False
    )
    table = table_of(summary, form.group_by, form.order, request.member.tenant.pk)
    context = {
        "form": form,
        "asked": form.asked,
        "summary": summary,
        "usage": summary.totals.usage,
        "total": asked.shown(table.total, table),
        "compared": compared(
            summary.totals.usage.total_cost, summary.previous.usage.total_cost
        ),
        **_choices(asked),
        **_shown(asked, table),
    }
    if form.cleaned_data["skip"] is None:
        context |= _evidence(asked, summary, table)
    return render(request, "orchestrations/costs.html", context)


def _choices(asked: Costs) -> dict[str, Any]:
    """Return the addresses of the same page with another period, grouping, order."""
    form = asked.form
    named = {"from": None, "to": None}
    return {
        "presets": [
            (p.label, asked.page(**named, period=p, skip=None), p == form.asked.preset)
            for p in Preset
        ],
        "groupings": [
            (label, asked.page(by=by, sort=None, skip=None), by == form.grouping)
            for by, label in BY_LABELS.items()
        ],
        "sorts": {name: asked.page(sort=name) for name in SORTS},
        "sort": form.order,
        "tables": [
            (label, asked.page(format="csv", table=name, skip=None))
            for name, label in TABLES.items()
        ],
    }


BY_LABELS = {
    "model": "Model",
    "provider": "Provider",
    "agent": "Agent",
    "workflow": "Workflow",
    "key": "API key",
    "day": "Day",
}


def _shown(asked: Costs, table: Table) -> dict[str, Any]:
    """Return the groups on this page, and where the others are."""
    skip = asked.form.cleaned_data["skip"]
    top = TOP_DAYS if asked.form.group_by == GroupBy.DAY else TOP
    first, size = (0, top) if skip is None else (skip, MANY)
    rows = _with_runs(asked, table.rows[first : first + size])
    after = first + len(rows)
    more = len(table.rows) > after
    return {
        "rows": [asked.shown(row, table) for row in rows],
        "rest": _rest(asked, table, after) if skip is None else None,
        "truncated": table.truncated,
        "first": first + 1,
        "after": after,
        "group_count": len(table.rows),
        "all_url": asked.page(skip=0) if skip is None and more else "",
        "next_url": asked.page(skip=after) if skip is not None and more else "",
        "overview_url": "" if skip is None else asked.page(skip=None),
        "grouping": BY_LABELS[asked.form.grouping],
    }


def _rest(asked: Costs, table: Table, shown: int) -> ShownRow | None:
    """Return the groups that are not shown: no one list has what they are made of."""
    rest = table.rest(shown)
    if rest is None:
        return None
    share = rest.share_of(table.total.usage.total_cost)
    return ShownRow(rest, share, RowDoors())


def _with_runs(asked: Costs, rows: list[Row]) -> list[Row]:
    """Read what percentiles of days need, of those alone that are shown."""
    if asked.form.group_by != GroupBy.DAY or not rows:
        return rows
    days = {row.key: row for row in rows if isinstance(row.key, date)}
    runs = runs_of_days(*asked.whose, days)
    return [replace(row, runs=runs.get(day, Runs())) for day, row in days.items()]


def _evidence(asked: Costs, summary: Summary, table: Table) -> dict[str, Any]:
    period, usage = asked.form.asked.period, summary.totals.usage
    doors = asked.doors
    models = unpriced_models(*asked.whose, period) if usage.still_unpriced else []
    return {
        "charts": _charts(asked, summary, table) if period.length.days > 1 else [],
        "list_prices": doors.list_prices(),
        "once_unpriced": doors.calls(cost_source=CostSource.UNPRICED.value),
        "tokens": token_split(usage),
        "budget": budget_of(*asked.whose),
        "unpriced": [
            (it, doors.calls(model=it.model, provider=it.provider, unpriced=YES))
            for it in models
        ],
        "dearest": dearest_runs(*asked.whose, period, summary.totals.runs.bands),
    }


def _charts(asked: Costs, summary: Summary, table: Table) -> list[Any]:
    if not (summary.totals.usage.calls or summary.totals.usage.steps):
        return []
    dearest = sorted(table.rows, key=lambda row: -row.usage.cost)
    charts = draw_costs(asked.doors, dearest, truncated=summary.truncated)
    return list(charts)


def _csv(request: PageRequest, asked: Costs) -> HttpResponseBase:
    table = asked.form.cleaned_data["table"] or "groups"
    head, rows = asked.question.answer(table)
    period = asked.form.asked.period
    told = {
        "table": table,
        "from": str(period.first),
        "to": str(period.last),
        "by": asked.form.grouping,
        "mode": request.member.mode,
        "rows": len(rows),
    }
    events.record(
        events.person(request),
        "costs.exported",
        tenant_id=request.member.tenant.pk,
        kind="costs",
        object_id=table,
        after=told,
    )
    name = f"costs-{table}-{period.first}-{period.last}.csv"
    return csv_answer(name, head, rows)
