"""The pages of a tenant's own prices and discounts."""

from dataclasses import dataclass
from decimal import Decimal

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from orchestrations.catalogue import VERSION
from orchestrations.models import Price
from orchestrations.money import plain
from orchestrations.settings_forms import EndPriceForm, PriceForm
from orchestrations.terms_changes import add_price, end_price
from tenants import events
from tenants.confirm_page import Question, ask
from tenants.page_access import PageRequest, member
from tenants.roles import Right

MOST = 500  # shown, the newest: a tenant has some tens
ENDING = Question("End a price", "End this price", "prices", "Prices and discounts")


@dataclass(frozen=True)
class Shown:
    """A price as the page has it: rates in US dollars per million tokens."""

    row: Price

    @property
    def what(self) -> str:
        rates = "List price" if self.row.input_rate is None else "Own rates"
        return rates if self.row.factor == 1 else f"{rates} × {plain(self.row.factor)}"

    @property
    def input(self) -> str:
        return _rate(self.row.input_rate)

    @property
    def output(self) -> str:
        return _rate(self.row.output_rate)

    @property
    def cache_read(self) -> str:
        """What is left empty costs as much as input."""
        rate = self.row.cache_read_rate
        return _rate(self.row.input_rate if rate is None else rate)


def _rate(rate: Decimal | None) -> str:
    return "–" if rate is None else plain(rate)


@member(can=Right.MANAGE_PRICES)
def prices(request: PageRequest) -> HttpResponse:
    form = PriceForm(
        request.member.tenant, request.POST if request.method == "POST" else None
    )
    if form.is_valid():
        add_price(events.person(request), form.save(commit=False))
        messages.success(request, f"{form.instance} has its price.")
        return redirect(request.member.address("prices"))
    rows = Price.objects.filter(tenant=request.member.tenant)
    now = timezone.now()
    listed = list(rows.order_by("-valid_from", "-pk")[: MOST + 1])
    context = {
        "form": form,
        "current": [Shown(row) for row in listed[:MOST] if not row.has_ended(now)],
        "ended": [Shown(row) for row in listed[:MOST] if row.has_ended(now)],
        "more": len(listed) > MOST,
        "catalogue": VERSION,
    }
    status = 400 if form.errors else 200
    return render(request, "orchestrations/prices.html", context, status=status)


@member(can=Right.MANAGE_PRICES)
def end(request: PageRequest, price_id: int) -> HttpResponse:
    rows = Price.objects.filter(tenant=request.member.tenant, valid_to=None)
    price = get_object_or_404(rows, pk=price_id)
    given = request.POST if request.method == "POST" else None
    form = EndPriceForm("name of this model", price.model, given)
    if form.is_valid():
        at, reason = form.cleaned_data["at"], form.cleaned_data["reason"]
        end_price(events.person(request), price, at, reason)
        messages.success(request, f"The price of {price} ends.")
        return redirect(request.member.address("prices"))
    return ask(request, ENDING, "orchestrations/price_end.html", form, price=price)
