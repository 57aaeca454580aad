"""Rotating and revoking a signing key in the admin, on a page that asks why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from receipts.key_changes import Change
from receipts.key_forms import RevocationForm, RotationForm
from receipts.keyring import log_of
from receipts.models import SigningKey

TEMPLATE = "admin/receipts/signingkey/confirm.html"
CONFIRMED = "confirmed"  # what the page sends beside the form


@admin.action(description="Rotate: a new key signs from now on", permissions=["rotate"])
def rotate(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    queryset: QuerySet[SigningKey],
) -> TemplateResponse | None:
    key = _chosen(model_admin, request, queryset)
    if key and key.status != SigningKey.Status.ACTIVE:
        model_admin.message_user(request, "This key is not in use.", messages.ERROR)
        return None
    return _ask(model_admin, request, key, RotationForm) if key else None


@admin.action(
    description="Revoke: let no later signature count", permissions=["rotate"]
)
def revoke(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    queryset: QuerySet[SigningKey],
) -> TemplateResponse | None:
    key = _chosen(model_admin, request, queryset)
    return _ask(model_admin, request, key, RevocationForm) if key else None


def _chosen(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    queryset: QuerySet[SigningKey],
) -> SigningKey | None:
    chosen = list(queryset.select_related("tenant")[:2])
    if len(chosen) == 1:
        return chosen[0]
    model_admin.message_user(request, "Choose one key.", messages.ERROR)
    return None


def _ask(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    key: SigningKey,
    form_class: type[RotationForm] | type[RevocationForm],
) -> TemplateResponse | None:
    """Show the form until it is filled in well; then do what it asks for."""
    form = form_class(key, request.POST if CONFIRMED in request.POST else None)
    if form.carry_out(request):
        _tell(model_admin, request, key, form.change)
        return None
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{request.POST['action'].capitalize()} a signing key",
        "opts": model_admin.opts,
        "key": key,
        "last_index": log_of(key.tenant_id, key.mode).size - 1,
        "form": form,
        "action": request.POST["action"],
        "checkbox": ACTION_CHECKBOX_NAME,
        "confirmed": CONFIRMED,
    }
    return TemplateResponse(request, TEMPLATE, context)


def _tell(
    model_admin: admin.ModelAdmin[Any],
    request: HttpRequest,
    key: SigningKey,
    change: Change | None,
) -> None:
    if change is None:
        model_admin.message_user(request, "It was revoked so before.")
        return
    done = f"{change.key.get_status_display()}; receipt {change.receipt_id}."
    model_admin.log_change(request, key, done)
    new = f" {change.successor.kid} signs now." if change.successor else ""
    model_admin.message_user(request, f"{key.kid}: {done}{new}", messages.SUCCESS)
