"""What it cost and how it went, added up (WIRE section 3)."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.utils import timezone
from rest_framework.request import Request

from lucid.api.errors import Code
from lucid.api.openapi import describe
from lucid.api.parsing import check_query
from lucid.api.rendering import Answer
from lucid.api.views import ApiView
from orchestrations import cost_examples
from orchestrations.activity import Activity, Granularity, Measured, measure
from orchestrations.costs import Group, GroupBy, Period, Totals, Usage, summarise
from orchestrations.models import NOBODY, Budget, MonthSpend
from orchestrations.money import shown
from orchestrations.periods import Moment, days_between, hours_between
from orchestrations.usage import TOKEN_COUNTS
from tenants.authentication import Principal
from tenants.models import ApiKey

COUNTED = ("calls", *TOKEN_COUNTS, "total_tokens")


class CostQuery(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The last 30 days unless told; both days are counted, at most 3,660."""

    group_by: (
        Literal["model", "provider", "agent_id", "workflow_id", "api_key", "day"] | None
    ) = None
    since: Moment | None = None
    until: Moment | None = None


class CostSummary(ApiView):
    scopes = {"GET": "metrics:read"}

    @describe(
        "What calls, steps and runs cost, and what they cost before",
        query=CostQuery,
        answer=cost_examples.COSTS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, CostQuery)
        period = days_between(query.since, query.until, default=30, at_most=3660)
        principal = _principal(request)
        group_by = GroupBy(query.group_by) if query.group_by else None
        summary = summarise(principal.tenant_id, principal.mode, period, group_by)
        return Answer(
            {
                "success": True,
                **_bounds(period),
                "group_by": query.group_by,
                "totals": _totals(summary.totals),
                "previous": {
                    **_bounds(period.previous()),
                    "totals": _totals(summary.previous),
                },
                "groups": _groups(summary.groups, query.group_by, principal),
                "truncated": summary.truncated,
            }
        )


def _principal(request: Request) -> Principal:
    principal: Principal = request.auth  # type: ignore[assignment]
    return principal


def _bounds(period: Period) -> dict[str, str]:
    return {"from": period.first.isoformat(), "to": period.last.isoformat()}


def _totals(totals: Totals) -> dict[str, Any]:
    usage, runs = totals.usage, totals.runs
    return {
        **{name: getattr(usage, name) for name in COUNTED},
        "cost_cents": _known(usage.cost, usage.calls, usage.unpriced),
        "list_price_cents": shown(usage.list_price),
        "adjusted_cost_cents": _known(
            usage.adjusted_cost, usage.calls, usage.still_unpriced
        ),
        "steps": usage.steps,
        "step_cost_cents": shown(usage.step_cost),
        "total_cost_cents": shown(usage.total_cost),
        "unpriced": usage.still_unpriced,
        "unpriced_as_recorded": usage.unpriced,
        "flagged": usage.flagged,
        "failed": usage.failed,
        "runs": runs.count,
        "average_run_cost_cents": shown(runs.average_cost),
        "p95_run_cost_cents": shown(runs.p95_cost),
    }


def _known(cost: Decimal, calls: int, unpriced: int) -> Decimal | None:
    """Return a cost, None if no call has a price: that is not the same as nothing."""
    return None if calls and calls == unpriced else shown(cost)


def _groups(
    groups: list[Group], group_by: str | None, principal: Principal
) -> list[dict[str, Any]]:
    answers = [
        {"key": group.key, **_totals(group.totals), **_previous(group.previous)}
        for group in groups
    ]
    if group_by == GroupBy.API_KEY:
        named = _names(principal, [answer["key"] for answer in answers])
        for answer in answers:
            answer |= named[answer["key"]]
    return answers


def _previous(usage: Usage) -> dict[str, Any]:
    return {
        "previous_cost_cents": shown(usage.cost),
        "previous_total_cost_cents": shown(usage.total_cost),
    }


def _names(principal: Principal, keys: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return for each API key how it is called; nobody's is null."""
    rows = ApiKey.objects.filter(tenant_id=principal.tenant_id, pk__in=keys)
    known = {pk: names for pk, *names in rows.values_list("pk", "name", "prefix")}
    return {
        key: {
            "key": None if key == NOBODY else key,
            **dict(zip(("name", "prefix"), known.get(key, (None, None)), strict=True)),
        }
        for key in keys
    }


class MetricsQuery(
    msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}
):
    """Hours: the last 24 unless told, at most 31 days of them. Days: the last 30.
    Weeks, from Monday: the last 12. Whole days are counted, at most 400."""

    granularity: Literal["hour", "day", "week"] = "day"
    group_by: (
        Literal["model", "provider", "agent_id", "workflow_id", "api_key"] | None
    ) = None
    since: Moment | None = None
    until: Moment | None = None

    def hours(self) -> tuple[datetime, datetime]:
        """Return the beginnings of the first and of the last hour asked for."""
        if self.granularity == "hour":
            return hours_between(self.since, self.until, default=24, at_most=31 * 24)
        default = 30
        if self.granularity == "week":
            end = self.until.day if self.until else timezone.now().date()
            default = 11 * 7 + end.weekday() + 1
        days = days_between(self.since, self.until, default=default, at_most=400)
        return (
            datetime.combine(days.first, time(), UTC),
            datetime.combine(days.last, time(23), UTC),
        )


class Metrics(ApiView):
    scopes = {"GET": "metrics:read"}

    @describe(
        "How many calls, how fast and for how much, by the hour, day or week",
        query=MetricsQuery,
        answer=cost_examples.METRICS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, MetricsQuery)
        first, last = query.hours()
        principal = _principal(request)
        column = GroupBy(query.group_by).column if query.group_by else None
        measured = measure(
            principal.tenant_id,
            principal.mode,
            first,
            last,
            Granularity(query.granularity),
            column,
        )
        totals = measured.totals
        return Answer(
            {
                "success": True,
                "from": _utc(first),
                "to": _utc(last),
                "granularity": query.granularity,
                "group_by": query.group_by,
                "event_counts": _event_counts(measured),
                "latencies": {**totals.percentiles(), "average": totals.average_ms},
                "total_cost_cents": shown(totals.total_cost),
                "buckets": [
                    _bucket(start, group, activity)
                    for (start, group), activity in measured.buckets.items()
                ],
                "truncated": measured.truncated,
            }
        )


def _event_counts(measured: Measured) -> dict[str, int]:
    totals, runs = measured.totals, measured.runs
    return {
        "inferences": totals.calls,
        "steps": totals.steps,
        **{
            f"orchestrations_{status}": runs.get(status, 0)
            for status in ("completed", "failed", "timeout", "cancelled")
        },
        "unpriced": totals.unpriced,
        "flagged": totals.flagged,
        "failed": totals.failed,
    }


def _bucket(start: datetime, group: Any, activity: Activity) -> dict[str, Any]:
    return {
        "start": _utc(start),
        "group": None if group == NOBODY else group,
        "calls": activity.calls,
        "cost_cents": _known(activity.cost, activity.calls, activity.unpriced),
        "total_cost_cents": shown(activity.total_cost),
        "total_tokens": activity.total_tokens,
        **activity.percentiles(),
    }


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


class BudgetList(ApiView):
    scopes = {"GET": "metrics:read"}

    @describe("What may be spent, and what is", answer=cost_examples.BUDGETS)
    def get(self, request: Request) -> Answer:
        principal = _principal(request)
        whose = {"tenant_id": principal.tenant_id, "mode": principal.mode}
        month = timezone.now().date().replace(day=1)
        spend = MonthSpend.objects.filter(**whose, month=month).first()
        return Answer(
            {
                "success": True,
                "budgets": [
                    _budget(budget, month, spend)
                    for budget in Budget.objects.filter(**whose)
                ],
            }
        )


def _budget(budget: Budget, month: date, spend: MonthSpend | None) -> dict[str, Any]:
    spent = spend.spent if spend else Decimal(0)
    return {
        "mode": budget.mode,
        "period": "month",
        "month": f"{month:%Y-%m}",
        "limit_cents": shown(budget.limit),
        "spent_cents": shown(spent),
        "remaining_cents": shown(max(budget.limit - spent, Decimal(0))),
        # Nothing is left for another call.
        "exceeded": spent >= budget.limit,
    }
