"""The list of receipts, and the way to one of which an id or a hash is known."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from lucid.api.errors import ApiError
from lucid.csv_answer import csv_answer
from lucid.list_page import chips, choices
from receipts.browsing import WINDOW, Found, browse
from receipts.forms import FindForm, ReceiptFilterForm
from receipts.list_columns import (
    COLUMNS,
    SHOWN,
    Cell,
    OnlyLinks,
    Row,
    Shown,
    cells,
    csv_head,
    csv_row,
    rows_of,
)
from receipts.models import Log, Receipt
from receipts.reading import note_list_export
from tenants.page_access import PageRequest, member
from tenants.roles import Right

HASH = re.compile("[0-9A-Fa-f]{64}")


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    receipt: Receipt
    cells: list[Cell]


@member(can=Right.READ_RECEIPTS)
def receipts(request: PageRequest) -> HttpResponse | StreamingHttpResponse:
    if "find" in request.GET:
        return _find(request)
    form = ReceiptFilterForm(request.GET)
    if not form.is_valid():
        return _render(request, {"form": form}, 400)
    query = form.as_filter(request.GET.get("cursor") or None)
    try:
        found = browse(query, request.member.tenant.pk, request.member.mode)
    except ApiError:  # a cursor that somebody has made up
        return _render(request, {"form": form, "bad_cursor": True}, 400)
    shown = _shown(request)
    rows = rows_of(found.receipts)
    if request.GET.get("format") == "csv":
        return _csv(request, form, rows, shown)
    return _render(request, _list(request, form, found, rows, shown))


def _render(
    request: PageRequest, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    context = {"find_form": FindForm(), **context}
    return render(request, "receipts/receipts.html", context, status=status)


def _shown(request: PageRequest) -> list[Shown]:
    chosen = choices(request.GET, COLUMNS)
    pairs = zip(SHOWN, chosen, strict=True)
    return [shown for shown, choice in pairs if choice.is_shown]


def _list(
    request: PageRequest,
    form: ReceiptFilterForm,
    found: Found,
    rows: list[Row],
    shown: list[Shown],
) -> dict[str, Any]:
    links = OnlyLinks(request.GET)
    return {
        "form": form,
        "chips": chips(request.GET, form.chips),
        "choices": choices(request.GET, COLUMNS),
        "columns": [item.column for item in shown],
        "lines": [Line(row.receipt, cells(row, shown, links)) for row in rows],
        "found": found,
        "window": WINDOW,
        "next_cursor": None if found.looked_to is not None else found.next_cursor,
        "is_newest": not request.GET.get("cursor"),
        "log_size": _log_size(request) if not rows else None,
        "api_url": request.build_absolute_uri(reverse("receipt-list")),
    }


def _log_size(request: PageRequest) -> int:
    logs = Log.objects.filter(tenant=request.member.tenant, mode=request.member.mode)
    return logs.values_list("size", flat=True).first() or 0


def _csv(
    request: PageRequest, form: ReceiptFilterForm, rows: list[Row], shown: list[Shown]
) -> StreamingHttpResponse:
    """Send the rows of this page, which are read by now."""
    note_list_export(request, request.member.tenant, len(rows), form.chips)

    def lines() -> Iterator[list[Any]]:
        return (csv_row(row, shown) for row in rows)

    name = f"receipts-{request.member.tenant.slug}.csv"
    return csv_answer(name, csv_head(shown), lines())


def _find(request: PageRequest) -> HttpResponse:
    form = FindForm(request.GET)
    context = {"form": ReceiptFilterForm({}), "find_form": form}
    if not form.is_valid():
        return _render(request, context, 400)
    found = _named(request, form.cleaned_data["find"])
    if found is None:
        form.add_error("find", "No receipt here has this id, run_id or hash.")
        return _render(request, context, 404)
    return redirect(request.member.address("receipt", found.pk))


def _named(request: PageRequest, name: str) -> Receipt | None:
    rows = Receipt.objects.of_log(request.member.tenant.pk, request.member.mode)
    rows = rows.only("pk")
    if HASH.fullmatch(name):
        found = rows.filter(receipt_hash=bytes.fromhex(name)).first()
        if found:
            return found
    return rows.named(name)
