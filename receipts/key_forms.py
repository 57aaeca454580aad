"""What is asked of whoever changes a signing key, in the admin and on pages."""

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from receipts.key_changes import (
    MAX_REASON,
    OVERLAP,
    Change,
    RefusedChange,
    revoke_key,
    rotate_key,
)
from receipts.ledger import LedgerUnavailable
from receipts.models import SigningKey
from tenants import events
from tenants.confirm_forms import TYPED

MIN_TYPED = 8  # characters of a kid

Purpose = SigningKey.Purpose


def kid_field() -> forms.CharField:
    return forms.CharField(
        label="The id of this key, typed again",
        help_text=f"All of it, or its first {MIN_TYPED} characters.",
        widget=forms.TextInput(attrs=TYPED),
    )


class KeyForm(forms.Form):
    field_order = ("last_valid_index", "overlap_days", "kid", "reason")
    reason = forms.CharField(
        max_length=MAX_REASON, help_text="Stands in the log's receipt, for good."
    )
    refused_at: str | None = None  # the field that a refused change complains about

    def __init__(self, key: SigningKey, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.key = key
        self.change: Change | None = None  # None: nothing was left to be changed

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if not reason.isprintable():
            raise forms.ValidationError("A reason is one line of printable characters.")
        return reason

    def carry_out(self, request: HttpRequest) -> bool:
        """Do what a valid form asks for; where it cannot be done the form says why."""
        if not self.is_valid():
            return False
        try:
            self.change = self._change(request)
        except RefusedChange as error:
            self.add_error(self.refused_at, str(error))
        except LedgerUnavailable:
            self.add_error(None, "The ledger cannot be written to now.")
        return not self.errors

    def _change(self, request: HttpRequest) -> Change | None:
        raise NotImplementedError


class RotationForm(KeyForm):
    overlap_days = forms.IntegerField(
        min_value=1,
        max_value=365,
        initial=OVERLAP.days,
        help_text="How long the old key signs beside the new one.",
    )

    def __init__(self, key: SigningKey, data: Any = None, **options: Any) -> None:
        super().__init__(key, data, **options)
        if key.purpose != Purpose.CHECKPOINT:
            del self.fields["overlap_days"]

    def _change(self, request: HttpRequest) -> Change:
        given, key = self.cleaned_data, self.key
        overlap = timedelta(days=given.get("overlap_days", OVERLAP.days))
        actor, reason = events.person(request), given["reason"]
        return rotate_key(key.tenant, key.mode, key.purpose, actor, reason, overlap)


class RevocationForm(KeyForm):
    last_valid_index = forms.IntegerField(
        label="Last entry that counts",
        min_value=-1,
        help_text="Of the log, from 0; receipts after it are revoked. -1: none counts.",
    )
    kid = kid_field()
    refused_at = "last_valid_index"

    def clean_kid(self) -> str:
        return typed_kid(self)

    def _change(self, request: HttpRequest) -> Change | None:
        given, actor = self.cleaned_data, events.person(request)
        return revoke_key(self.key, given["last_valid_index"], actor, given["reason"])


def typed_kid(form: KeyForm) -> str:
    """Return what was typed if it can mean no other key than the form's."""
    typed: str = form.cleaned_data["kid"]
    if len(typed) < MIN_TYPED or not form.key.kid.startswith(typed):
        raise forms.ValidationError("This is not the key chosen.")
    return typed
