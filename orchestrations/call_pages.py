"""The page of calls: the records behind the numbers of costs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.shortcuts import render

from lucid.api.errors import ApiError
from lucid.api.pagination import DEFAULT_LIMIT, decode_place, encode_place
from lucid.csv_answer import csv_answer
from lucid.list_page import Column, chips, choices
from orchestrations.call_search import Found, Place, add_up, find_calls
from orchestrations.cost_forms import SOURCE_WORDS, CallForm
from orchestrations.cost_tables import cents
from orchestrations.list_downloads import note_download
from orchestrations.models import NOBODY, Adjustment, CostSource, Inference
from orchestrations.run_links import ReceiptLinks
from orchestrations.usage import TOKEN_COUNTS
from tenants.models import ApiKey
from tenants.page_access import Member, PageRequest, member
from tenants.roles import Right

COLUMNS = [
    Column("time", "Recorded"),
    Column("model", "Model"),
    Column("provider", "Provider", is_usual=False),
    Column("agent", "Agent"),
    Column("workflow", "Workflow", is_usual=False),
    Column("key", "API key", is_usual=False),
    Column("tokens", "Tokens", is_number=True),
    Column("cost", "Cost, US$", is_number=True),
    Column("source", "Cost is"),
    Column("list_price", "List price", is_number=True, is_usual=False),
    Column("latency", "Latency, ms", is_number=True, is_usual=False),
    Column("outcome", "Outcome"),
    Column("run", "Run"),
    Column("receipt", "Receipt"),
]


@dataclass(frozen=True)
class Shown:
    """A call as the page has it."""

    call: Inference
    key: str
    adjusted: Decimal | None  # what it counts since it was priced anew
    receipt_url: str | None

    @property
    def tokens(self) -> int:
        call = self.call
        return (
            call.input_tokens
            + call.cache_read_tokens
            + call.cache_write_5m_tokens
            + call.cache_write_1h_tokens
            + call.output_tokens
        )

    @property
    def source(self) -> str:
        return SOURCE_WORDS[CostSource(self.call.cost_source)]

    @property
    def outcome(self) -> str:
        """What our gateway saw; what was only reported says nothing of it."""
        return self.call.get_outcome_display() if self.call.outcome else "reported"


@dataclass(frozen=True)
class Sum:
    """What is on the page, added up."""

    calls: int
    unpriced: int
    tokens: int
    cost: Decimal | None
    list_price: Decimal


@member(can=Right.READ_COSTS)
def calls(request: PageRequest) -> HttpResponseBase:
    form = CallForm(request.GET, request.member.tenant.pk)
    if not form.is_valid():
        return render(
            request, "orchestrations/call_list.html", {"form": form}, status=400
        )
    try:
        place = _place(request)
    except ApiError:  # a cursor that somebody has made up
        return _refused(request, form, bad_cursor=True)
    whose = request.member.tenant.pk, request.member.mode
    found = find_calls(*whose, form.filter, place, DEFAULT_LIMIT)
    rows = list(_shown(request.member, found.calls))
    if form.cleaned_data["format"]:
        return _csv(request, rows)
    chosen = choices(request.GET, COLUMNS)
    context = {
        "form": form,
        "chips": chips(request.GET, form.chips),
        "choices": chosen,
        "shown": {choice.column.name for choice in chosen if choice.is_shown},
        "rows": rows,
        "sum": _sum(rows),
        "totals": add_up(*whose, form.filter) if form.filter.is_summed else None,
        "found": found,
        "is_exportable": _is_exportable(request, form),
        "next_cursor": _cursor(found),
        "is_newest": place is None,
    }
    return render(request, "orchestrations/call_list.html", context)


def _is_exportable(request: PageRequest, form: CallForm) -> bool:
    """Whether an export can be of the same calls: it has fewer filters."""
    own = ("unpriced", "failed", "without")
    filters = any(form.cleaned_data[name] for name in own)
    return request.member.may(Right.EXPORT) and not filters


def _refused(
    request: PageRequest, form: CallForm, *, bad_cursor: bool = False
) -> HttpResponseBase:
    context = {"form": form, "bad_cursor": bad_cursor}
    return render(request, "orchestrations/call_list.html", context, status=400)


def _place(request: PageRequest) -> Place | None:
    cursor = request.GET.get("cursor")
    return decode_place(cursor) if cursor else None


def _cursor(found: Found) -> str | None:
    return encode_place(*found.next_place) if found.next_place else None


def _shown(member: Member, calls: list[Inference]) -> Iterable[Shown]:
    tenant_id = member.tenant.pk
    keys = ApiKey.objects.filter(
        tenant_id=tenant_id, pk__in={call.api_key_id for call in calls} - {NOBODY}
    )
    names = {pk: name or prefix for pk, name, prefix in _named(keys)}
    adjusted = _adjusted(tenant_id, calls)
    links = ReceiptLinks(member)
    for call in calls:
        key = "" if call.api_key_id == NOBODY else str(call.api_key_id)
        yield Shown(
            call,
            names.get(call.api_key_id, key),
            adjusted.get(call.pk),
            links.to(call.pk),
        )


def _named(keys: Any) -> Iterable[tuple[UUID, str, str]]:
    rows: Iterable[tuple[UUID, str, str]] = keys.values_list("pk", "name", "prefix")
    return rows


def _adjusted(tenant_id: UUID, calls: list[Inference]) -> dict[UUID, Decimal]:
    rows = Adjustment.objects.filter(
        tenant_id=tenant_id, inference_id__in=[call.pk for call in calls]
    )
    return dict(rows.order_by("recorded_at", "pk").values_list("inference_id", "after"))


def _sum(rows: list[Shown]) -> Sum:
    costs = [row.call.cost for row in rows if row.call.cost is not None]
    prices = [row.call.list_price or Decimal(0) for row in rows]
    return Sum(
        calls=len(rows),
        unpriced=len(rows) - len(costs),
        tokens=sum(row.tokens for row in rows),
        cost=sum(costs, Decimal(0)) if costs else None,
        list_price=sum(prices, Decimal(0)),
    )


def _of_call(name: str, row: Shown) -> Any:
    value = getattr(row.call, name)
    return "" if value is None else value


CSV: dict[str, Callable[[Shown], Any]] = {
    "recorded_at": lambda row: row.call.recorded_at.isoformat(),
    "receipt_id": lambda row: str(row.call.pk),
    "orchestration_id": partial(_of_call, "orchestration_id"),
    "sequence": partial(_of_call, "sequence"),
    "model": partial(_of_call, "model"),
    "provider": partial(_of_call, "provider"),
    "agent_id": partial(_of_call, "agent_id"),
    "workflow_id": partial(_of_call, "workflow_id"),
    "api_key": lambda row: row.key,
    **{name: partial(_of_call, name) for name in TOKEN_COUNTS},
    "cost_cents": lambda row: cents(row.call.cost),
    "cost_source": partial(_of_call, "cost_source"),
    "list_price_cents": lambda row: cents(row.call.list_price),
    "adjusted_cost_cents": lambda row: cents(row.adjusted),
    "latency_ms": partial(_of_call, "latency_ms"),
    "outcome": partial(_of_call, "outcome"),
}


def _csv(request: PageRequest, rows: list[Shown]) -> HttpResponseBase:
    note_download(request, "calls", len(rows))
    lines = [[value(row) for value in CSV.values()] for row in rows]
    return csv_answer("calls.csv", list(CSV), lines)
