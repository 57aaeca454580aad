"""The first page of a tenant: what was recorded and spent, and what needs attention."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from lucid.charts import TimeSeries
from orchestrations.costs import Period
from orchestrations.overview import (
    Figure,
    Spent,
    Whose,
    charts_of,
    days_of,
    entries_in,
    known_cost,
    runs_in,
    spent_in,
)
from orchestrations.overview_doors import YES, Doors
from orchestrations.overview_notes import Note, notes_on
from receipts.log_health import Health, health_of
from receipts.models import Log
from tenants.forms import PlainForm
from tenants.page_access import PageRequest, member
from tenants.roles import Right

TEMPLATE = "orchestrations/overview.html"
PERIODS = (7, 30, 90)  # days
USUAL = 30


class PeriodForm(PlainForm):
    days = forms.ChoiceField(
        required=False,
        choices=[(str(days), f"{days} days") for days in PERIODS],
        error_messages={"invalid_choice": "A period has 7, 30 or 90 days."},
    )

    @property
    def period(self) -> Period:
        """The days up to today, in UTC."""
        today = timezone.now().date()
        days = int(self.cleaned_data["days"] or USUAL)
        return Period(today - timedelta(days=days - 1), today)


def front(request: HttpRequest) -> HttpResponseBase:
    """The overview to those who are logged in, to others what this is."""
    if request.user.is_authenticated:
        return overview(request)
    return render(request, "home.html")


@member()
def overview(request: PageRequest) -> HttpResponse:
    form = PeriodForm(request.GET)
    rights = [right for right in Right if request.member.may(right)]
    context = {"form": form, "periods": PERIODS, "rights": rights}
    if not form.is_valid():
        return render(request, TEMPLATE, context, status=400)
    shown = Shown(Doors(request.member, form.period))
    receipt_url = request.build_absolute_uri("/v1/receipts")
    context |= {"shown": shown, "receipt_url": receipt_url}
    return render(request, TEMPLATE, context)


@dataclass(frozen=True)
class Shown:
    """What the page says of a period."""

    doors: Doors

    @property
    def whose(self) -> Whose:
        return self.doors.member.tenant.pk, self.doors.member.mode

    @property
    def days(self) -> int:
        return self.doors.period.length.days

    @cached_property
    def health(self) -> Health | None:
        if not self.doors.member.may(Right.READ_RECEIPTS):
            return None
        return health_of(*self.whose)

    @cached_property
    def is_new(self) -> bool:
        """Whether nothing was ever logged, which whoever reads costs may know."""
        if self.doors.member.may(Right.READ_RECEIPTS):
            return not (self.health and self.health.log.size)
        tenant_id, mode = self.whose
        logs = Log.objects.filter(tenant_id=tenant_id, mode=mode, size__gt=0)
        return not logs.exists()

    @cached_property
    def notes(self) -> list[Note]:
        return list(notes_on(self.whose, self.doors, self.health))

    @cached_property
    def spent(self) -> Spent:
        return spent_in(self.whose, self.doors.period)

    @cached_property
    def charts(self) -> list[TimeSeries]:
        days = [
            replace(self.doors, period=Period(day, day))
            for day in days_of(self.doors.period)
        ]
        costs, calls = [day.costs() for day in days], [day.calls() for day in days]
        return charts_of(self.spent, costs, calls)

    @cached_property
    def keys_url(self) -> str:
        return self.doors.page("keys", Right.READ_RECEIPTS)

    def figures(self) -> Iterator[Figure]:
        if self.health:
            yield self._receipts(self.health.log)
        yield from self._of_usage()
        now, before = runs_in(self.whose, self.doors.period)
        yield self._figure("Runs that ended", now, before, Doors.ended_runs)

    def _receipts(self, log: Log) -> Figure:
        now, before = entries_in(log, self.doors.period)
        urls = self.doors.entries(now), self.doors.entries(before)
        return Figure("Receipts", now.count, before.count, self.days, *urls)

    def _of_usage(self) -> Iterator[Figure]:
        now, before, figure = self.spent.now, self.spent.before, self._figure
        yield figure("Tokens", now.total_tokens, before.total_tokens, Doors.calls)
        cost = known_cost(now), known_cost(before)
        yield figure("Cost", *cost, Doors.costs, is_money=True)
        failed = partial(Doors.calls, failed=YES)
        yield figure("Calls that failed", now.failed, before.failed, failed)
        unpriced = now.still_unpriced, before.still_unpriced
        none = partial(Doors.calls, unpriced=YES)
        yield figure("Calls without a price", *unpriced, none)

    def _figure(
        self,
        label: str,
        now: Any,
        before: Any,
        page: Callable[[Doors], str],
        **more: Any,
    ) -> Figure:
        urls = page(self.doors), page(self.doors.previous)
        return Figure(label, now, before, self.days, *urls, **more)
