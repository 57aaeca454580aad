"""The pages of orchestrations: the list of runs, and one run with its calls."""

import re
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from lucid.csv_answer import csv_answer
from lucid.list_page import chips, choices
from orchestrations.claims import ID
from orchestrations.models import Orchestration
from orchestrations.run_calls import calls_as_csv
from orchestrations.run_forms import CallFilterForm, RunFilterForm
from orchestrations.run_links import ReceiptLinks
from orchestrations.run_page import RunPage
from orchestrations.run_rows import RunRow, as_csv, columns_of
from orchestrations.run_search import RunSearch
from orchestrations.settling import find, look_at, settle_due
from receipts.ledger import LedgerUnavailable
from tenants import events
from tenants.page_access import PageRequest, in_other_mode, member
from tenants.roles import Right

MAX_NOTED = 1000  # characters of filters, in an event


@member(can=Right.READ_RUNS)
def runs(request: PageRequest) -> HttpResponse:
    form = RunFilterForm(request.GET, request.member.tenant.pk)
    search = form.as_search(request.GET.get("cursor", "")) if form.is_valid() else None
    if search is None or search.is_lost:
        context = {"form": form, "bad_cursor": search is not None}
        return render(request, "orchestrations/runs.html", context, status=400)
    return _list(request, form, search)


def _list(request: PageRequest, form: RunFilterForm, search: RunSearch) -> HttpResponse:
    whose = request.member.tenant.pk, request.member.mode
    try:
        settle_due(*whose)
        is_log_shut = False
    except LedgerUnavailable:
        is_log_shut = True  # the page says so, and of each run whose time is over
    found = search.page(*whose)
    rows = [RunRow(run) for run in found.runs]
    columns = choices(request.GET, columns_of(by_end=search.is_by_end))
    if request.GET.get("format") == "csv":
        return _download(request, "orchestrations", "", *as_csv(rows, columns))
    context = {
        "form": form,
        "chips": chips(request.GET, form.chips),
        "choices": columns,
        "shows": {choice.column.name for choice in columns if choice.is_shown},
        "rows": rows,
        "found": found,
        "is_newest": not search.cursor,
        "is_by_end": search.is_by_end,
        "counted": search.counted(*whose),
        "has_call": bool(search.call),
        "is_log_shut": is_log_shut,
        "looked_through": search.most,
    }
    return render(request, "orchestrations/runs.html", context)


@member(can=Right.READ_RUNS)
def run_detail(request: PageRequest, run_id: str) -> HttpResponse:
    run = _run(request, run_id)
    if run is None:
        return _in_other_mode(request, run_id)
    form = CallFilterForm(request.GET)
    query = form.as_filter(request.GET.get("cursor")) if form.is_valid() else None
    if query is None or query.is_lost:
        page = RunPage(run)
        context = {"page": page, "form": form, "bad_cursor": query is not None}
        return _detail(request, context, status=400)
    given = form.cleaned_data
    page = RunPage(run, query, given["steps_after"] or 0, bool(given["check"]))
    if request.GET.get("format") == "csv":
        return _download(request, "calls", run.pk, *calls_as_csv(page.calls))
    context = {
        "page": page,
        "form": form,
        "chips": chips(request.GET, form.chips),
        "is_newest": query.cursor is None,
    }
    return _detail(request, context)


def _run(request: PageRequest, run_id: str) -> Orchestration | None:
    """Return a run of the tenant and mode that the page is of."""
    whose = request.member.tenant.pk, request.member.mode
    # No other text is an id, and PostgreSQL cannot be asked for every text.
    if not re.fullmatch(ID, run_id):
        raise Http404
    try:
        return look_at(run_id, *whose)
    except LedgerUnavailable:
        return find(run_id, *whose)  # the page says that its time is over


def _in_other_mode(request: PageRequest, run_id: str) -> HttpResponse:
    runs = Orchestration.objects.filter(tenant=request.member.tenant, pk=run_id)
    if not runs.exists():
        raise Http404
    return in_other_mode(request)


def _detail(
    request: PageRequest, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    run: Orchestration = context["page"].run
    may = request.member.may
    evidence = None
    if run.receipt_id and may(Right.EXPORT):
        evidence = request.member.address("orchestration-evidence", run.pk)
    context |= {
        "links": ReceiptLinks(request.member),
        "evidence": evidence,
        "api_path": reverse("orchestration-detail", args=[run.pk]),
    }
    return render(request, "orchestrations/run.html", context, status=status)


def _download(
    request: PageRequest,
    what: str,
    run_id: str,
    head: list[str],
    lines: list[list[Any]],
) -> HttpResponse:
    """Send a table as CSV; noted before anything is sent."""
    query = request.GET.copy()
    query.pop("format", None)
    events.record(
        events.person(request),
        f"{what}.exported",
        tenant_id=request.member.tenant.pk,
        kind="orchestration",
        object_id=run_id,
        after={
            "rows": len(lines),
            "filters": query.urlencode()[:MAX_NOTED],
            "mode": str(request.member.mode),
        },
    )
    answer: HttpResponse = csv_answer(f"{what}.csv", head, lines)  # type: ignore[assignment]
    return answer
