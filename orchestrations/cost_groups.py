"""The groups that costs are shown in: how each is called, and where its calls are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from lucid.charts import Share
from lucid.comparison import compared
from orchestrations.cost_periods import said
from orchestrations.costs import Group, GroupBy, Key, Runs, Summary, Usage
from orchestrations.models import NOBODY
from tenants.models import ApiKey

# What has no name: steps alone have no model and no provider.
NAMELESS = {
    GroupBy.MODEL: "Steps, which have no model",
    GroupBy.PROVIDER: "Steps, which have no provider",
    GroupBy.AGENT: "Without an agent",
    GroupBy.WORKFLOW: "Without a workflow",
}


@dataclass(frozen=True)
class Row:
    label: str
    key: Key
    usage: Usage
    runs: Runs | None
    earlier: Usage | None  # the period before; None where that is not known
    filters: dict[str, Any] | None = None  # of its calls; None of what has none

    @property
    def previous(self) -> Decimal | None:
        """What it cost in all, the period before."""
        return None if self.earlier is None else self.earlier.total_cost

    def share_of(self, whole: Decimal) -> Share:
        part = self.usage.total_cost
        percent = Share("", part, whole).percent
        return Share(f"{percent} % of the whole", part, whole)

    @property
    def plain_key(self) -> str:
        """The key for programs; "" of what has none."""
        return "" if self.key == NOBODY else str(self.key)

    @property
    def change(self) -> str:
        """How its cost compares with the period before."""
        if self.previous is None:
            return ""
        now = self.usage.total_cost
        if not self.previous:
            return "new" if now else ""
        words = compared(now, self.previous) or "gone"
        words = words.removesuffix(" than").removesuffix(" as")
        return words.replace(" times as much", " times")

    @property
    def cost(self) -> Decimal | None:
        """What its calls cost; None where none of them has a price."""
        return known(self.usage.cost, self.usage.calls, self.usage.unpriced)

    @property
    def adjusted_cost(self) -> Decimal | None:
        usage = self.usage
        return known(usage.adjusted_cost, usage.calls, usage.still_unpriced)

    @property
    def total_cost(self) -> Decimal | None:
        return (
            self.usage.step_cost or None if self.cost is None else self.usage.total_cost
        )


def known(cost: Decimal, calls: int, unpriced: int) -> Decimal | None:
    return None if calls and calls == unpriced else cost


@dataclass(frozen=True)
class Table:
    rows: list[Row]  # in the order that was asked for
    total: Row
    truncated: bool  # there are more groups, each cheaper

    def rest(self, shown: int) -> Row | None:
        """Sum up the groups after those that are shown; None if there are none."""
        others = len(self.rows) - shown
        if others <= 0 and not self.truncated:
            return None
        usage = self.total.usage
        for row in self.rows[:shown]:
            usage = minus(usage, row.usage)
        label = "All others" if self.truncated else f"The other {others:,}"
        return Row(label, "", usage, None, None)


def minus(usage: Usage, part: Usage) -> Usage:
    names = Usage.__dataclass_fields__
    return Usage(**{n: getattr(usage, n) - getattr(part, n) for n in names})


def table_of(summary: Summary, group_by: GroupBy, sort: str, tenant_id: UUID) -> Table:
    rows = _rows(summary.groups, group_by, tenant_id)
    totals, earlier = summary.totals, summary.previous.usage
    total = Row("In all", "", totals.usage, totals.runs, earlier, {})
    return Table(_sorted(rows, group_by, sort), total, summary.truncated)


def _rows(groups: list[Group], group_by: GroupBy, tenant_id: UUID) -> list[Row]:
    names = _key_names(groups, tenant_id) if group_by == GroupBy.API_KEY else {}
    return [
        Row(
            label=_label(group.key, group_by, names),
            key=group.key,
            usage=group.totals.usage,
            runs=group.totals.runs,
            earlier=group.previous,
            filters=filter_of(group.key, group_by),
        )
        for group in groups
    ]


def filter_of(key: Any, group_by: GroupBy) -> dict[str, Any] | None:
    """Return the filters of a group's calls; None of what has no calls."""
    if group_by == GroupBy.DAY:
        return {"from": key, "to": key}
    if key not in ("", NOBODY):
        return {group_by.value: key}
    if group_by in (GroupBy.MODEL, GroupBy.PROVIDER):
        return None
    return {"without": group_by.value}


def _key_names(groups: Iterable[Group], tenant_id: UUID) -> dict[UUID, str]:
    keys = ApiKey.objects.filter(
        tenant_id=tenant_id, pk__in=[group.key for group in groups]
    )
    return {
        pk: f"{name} ({prefix})" if name else prefix
        for pk, name, prefix in keys.values_list("pk", "name", "prefix")
    }


def _label(key: Any, group_by: GroupBy, names: dict[UUID, str]) -> str:
    if isinstance(key, date):
        return said(key)
    if group_by == GroupBy.API_KEY:
        return "Without an API key" if key == NOBODY else names.get(key, str(key))
    return str(key) or NAMELESS[group_by]


def _sorted(rows: list[Row], group_by: GroupBy, sort: str) -> list[Row]:
    match sort:
        case "cost":
            return sorted(rows, key=lambda row: -row.usage.total_cost)
        case "calls":
            return sorted(rows, key=lambda row: -row.usage.calls)
        case "tokens":
            return sorted(rows, key=lambda row: -row.usage.total_tokens)
    return rows[::-1] if group_by == GroupBy.DAY else rows
