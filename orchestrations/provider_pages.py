"""The pages of a tenant's accounts with providers; no credential is ever shown."""

from django.contrib import messages
from django.db import IntegrityError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from orchestrations.models import Provider, ProviderCredential
from orchestrations.provider_changes import remove_provider, save_provider
from orchestrations.settings_forms import ProviderForm
from tenants import events
from tenants.confirm_forms import ConfirmForm
from tenants.confirm_page import Question, ask
from tenants.page_access import PageRequest, member
from tenants.roles import Right
from tenants.row_states import State, state_of

REMOVAL = Question("Remove a provider", "Remove this provider", "settings", "Settings")


@sensitive_post_parameters("credential")
@member(can=Right.MANAGE_PROVIDERS)
def provider(request: PageRequest, provider: str) -> HttpResponse:
    if provider not in Provider.values:
        raise Http404
    tenant = request.member.tenant
    rows = ProviderCredential.objects.filter(tenant=tenant, provider=provider)
    row = rows.first() or ProviderCredential(tenant=tenant, provider=provider)
    before = state_of(row) if row.pk else None
    form = ProviderForm(row, request.POST if request.method == "POST" else None)
    if form.is_valid() and _saved(request, form, before):
        messages.success(request, f"{row.get_provider_display()} is set.")
        return redirect(request.member.address("settings"))
    context = {"row": row, "form": form, "is_set": before is not None}
    status = 400 if form.errors else 200
    return render(request, "orchestrations/provider.html", context, status=status)


@member(can=Right.MANAGE_PROVIDERS)
def remove(request: PageRequest, provider: str) -> HttpResponse:
    rows = ProviderCredential.objects.filter(tenant=request.member.tenant)
    row = get_object_or_404(rows.select_related("tenant"), provider=provider)
    given = request.POST if request.method == "POST" else None
    form = ConfirmForm("name of this provider", row.provider, given)
    if form.is_valid():
        remove_provider(events.person(request), row, form.cleaned_data["reason"])
        messages.success(request, f"{row.get_provider_display()} is removed.")
        return redirect(request.member.address("settings"))
    return ask(request, REMOVAL, "orchestrations/provider_remove.html", form, row=row)


def _saved(request: PageRequest, form: ProviderForm, before: State | None) -> bool:
    try:
        save_provider(events.person(request), form.save(commit=False), before)
    except IntegrityError:
        form.add_error(None, "Somebody else has set this provider meanwhile.")
        return False
    return True
