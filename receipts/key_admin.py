"""Rotating and revoking a signing key in the admin, on a page that asks why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from receipts.key_changes import (
    MAX_REASON,
    OVERLAP,
    Change,
    RefusedChange,
    revoke_key,
    rotate_key,
)
from receipts.keyring import log_of
from receipts.ledger import LedgerUnavailable
from receipts.models import SigningKey
from tenants import events

TEMPLATE = "admin/receipts/signingkey/confirm.html"
CONFIRMED = "confirmed"  # what the page sends beside the form
MIN_TYPED = 8  # characters of a kid

Purpose = SigningKey.Purpose


class KeyForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_REASON, help_text="Stands in the log's receipt, for good."
    )

    def __init__(self, key: SigningKey, data: Any = None) -> None:
        super().__init__(data)
        self.key = key


class RotationForm(KeyForm):
    overlap_days = forms.IntegerField(
        min_value=1,
        max_value=365,
        initial=OVERLAP.days,
        help_text="How long the old key signs beside the new one.",
    )

    def __init__(self, key: SigningKey, data: Any = None) -> None:
        super().__init__(key, data)
        if key.purpose != Purpose.CHECKPOINT:
            del self.fields["overlap_days"]

    def change(self, request: HttpRequest) -> Change:
        given, key = self.cleaned_data, self.key
        overlap = timedelta(days=given.get("overlap_days", OVERLAP.days))
        actor, reason = events.person(request), given["reason"]
        return rotate_key(key.tenant, key.mode, key.purpose, actor, reason, overlap)


class RevocationForm(KeyForm):
    last_valid_index = forms.IntegerField(
        min_value=-1, help_text="The last log index at which the key counts; -1: none."
    )
    kid = forms.CharField(label="Key, typed again")

    def __init__(self, key: SigningKey, data: Any = None) -> None:
        super().__init__(key, data)
        self.fields["kid"].help_text = f"Its id, or the first {MIN_TYPED} of it."

    def clean_kid(self) -> str:
        typed: str = self.cleaned_data["kid"]
        if len(typed) < MIN_TYPED or not self.key.kid.startswith(typed):
            raise forms.ValidationError("This is not the key chosen.")
        return typed

    def change(self, request: HttpRequest) -> Change | None:
        given, actor = self.cleaned_data, events.person(request)
        return revoke_key(self.key, given["last_valid_index"], actor, given["reason"])


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
    if form.is_valid():
        try:
            change = form.change(request)
        except RefusedChange as error:
            form.add_error(None, str(error))
        except LedgerUnavailable:
            form.add_error(None, "The ledger cannot be written to now.")
        else:
            _tell(model_admin, request, key, change)
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
