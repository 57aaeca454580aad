"""The pages on which admins say what a tenant is, publishes and may spend."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestrations.models import Budget, MonthSpend, Price, Provider
from orchestrations.models import ProviderCredential as Account
from orchestrations.settings_forms import BudgetForm, PublicLogForm, TenantForm
from orchestrations.tenant_usage import this_month
from orchestrations.terms_changes import set_budget
from receipts.public_log import is_public, set_public
from tenants import events
from tenants.confirm_page import Question, ask
from tenants.page_access import PageRequest, member
from tenants.roles import Right
from tenants.tenant_changes import change_tenant

CENTS = 100  # in a dollar
BACK = ("settings", "Settings")
PUBLICATION = Question("Publish the log", "Publish it", *BACK)
WITHDRAWAL = Question("Withdraw the public log", "Withdraw it", *BACK)


@member(can=Right.MANAGE_SETTINGS)
def settings(request: PageRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    form = TenantForm(request.POST)
    if not form.is_valid():
        return _page(request, tenant_form=form)
    actor, tenant = events.person(request), request.member.tenant
    changed = change_tenant(actor, tenant, **form.cleaned_data)
    return _done(request, "Name and limit are set." if changed else "Nothing changed.")


@member(can=Right.MANAGE_SETTINGS, to_post=Right.MANAGE_PRICES)
def budget(request: PageRequest) -> HttpResponse:
    if request.method != "POST":  # as whoever had to log in first
        return redirect(f"{request.member.address('settings')}#budget")
    form = BudgetForm(request.POST)
    if not form.is_valid():
        return _page(request, budget_form=form)
    member = request.member
    set_budget(events.person(request), member.tenant, member.mode, form.cents)
    return _done(request, "The budget is set. It holds from the next call on.")


@member(can=Right.MANAGE_SETTINGS)
def public_log(request: PageRequest) -> HttpResponse:
    tenant = request.member.tenant
    given = request.POST if request.method == "POST" else None
    form = PublicLogForm(tenant, given, public=is_public(tenant))
    if form.is_valid():
        public, reason = form.cleaned_data["public"], form.cleaned_data["reason"]
        set_public(events.person(request), tenant, public, reason)
        told = "public from now on" if public else "public no more"
        return _done(request, f"The log is {told}.")
    question = WITHDRAWAL if is_public(tenant) else PUBLICATION
    template = "orchestrations/public_log.html"
    return ask(request, question, template, form, is_public=is_public(tenant))


def _done(request: PageRequest, words: str) -> HttpResponse:
    messages.success(request, words)
    return redirect(request.member.address("settings"))


def _page(
    request: PageRequest,
    tenant_form: TenantForm | None = None,
    budget_form: BudgetForm | None = None,
) -> HttpResponse:
    tenant, mode = request.member.tenant, request.member.mode
    limit = Budget.objects.filter(tenant=tenant, mode=mode).first()
    accounts = Account.objects.filter(tenant=tenant)
    context = {
        "tenant_form": tenant_form or TenantForm(initial=_state(request)),
        "budget_form": budget_form or BudgetForm(initial=_dollars(limit)),
        "budget": limit,
        "spent": _spent(request),
        "is_public": is_public(tenant),
        "prices": _prices(request),
        "providers": _providers(accounts),
    }
    status = _of(tenant_form or budget_form)
    return render(request, "orchestrations/settings.html", context, status=status)


def _state(request: PageRequest) -> dict[str, Any]:
    tenant = request.member.tenant
    return {"name": tenant.name, "requests_per_minute": tenant.requests_per_minute}


def _dollars(row: Budget | None) -> dict[str, str]:
    if row is None:
        return {}
    text = f"{row.limit / CENTS:f}"
    return {"limit": text.rstrip("0").rstrip(".") if "." in text else text}


def _spent(request: PageRequest) -> Decimal:
    member = request.member
    months = MonthSpend.objects.filter(
        tenant=member.tenant, mode=member.mode, month=this_month()
    )
    row = months.first()
    return row.spent if row else Decimal(0)


def _prices(request: PageRequest) -> int:
    """Return how many own prices hold now."""
    prices = Price.objects.filter(tenant=request.member.tenant)
    return prices.holding_at(timezone.now()).count()


def _providers(accounts: Any) -> list[tuple[str, str, Account | None]]:
    """Return each provider there is, with the tenant's account where it has one."""
    found = {row.provider: row for row in accounts}
    return [(value, str(label), found.get(value)) for value, label in Provider.choices]


def _of(form: Any) -> int:
    return 400 if form is not None and form.errors else 200
