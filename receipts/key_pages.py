"""The pages of a log's signing keys: which they are, what counts, and their changes."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render

from receipts import base58
from receipts.key_forms import (
    KeyForm,
    RevocationForm,
    RotationForm,
    kid_field,
    typed_kid,
)
from receipts.key_publication import jwks
from receipts.models import Log, SigningKey
from receipts.note import VerifierKey
from tenants import events
from tenants.confirm_page import Question, ask
from tenants.page_access import PageRequest, member
from tenants.roles import Right

Purpose = SigningKey.Purpose
Status = SigningKey.Status

BACK = ("keys", "Keys")
ROTATION = Question(
    "Rotate a signing key", "Rotate this key", *BACK, is_dangerous=False
)
REVOCATION = Question("Revoke a signing key", "Revoke this key", *BACK)


@dataclass(frozen=True)
class Shown:
    """A signing key as the pages have it."""

    key: SigningKey
    log: Log

    @property
    def title(self) -> str:
        return {
            Purpose.RECEIPT: "Signs receipts",
            Purpose.CHECKPOINT: "Signs the log's checkpoints",
        }[Purpose(self.key.purpose)]

    @property
    def verdict(self) -> str:
        """The class of what `status` says."""
        marks = {Status.ACTIVE: "good", Status.REVOKED: "bad"}
        return marks.get(Status(self.key.status), "open")

    @property
    def status(self) -> str:
        match self.key.status:
            case Status.ACTIVE:
                return "In use"
            case Status.RETIRING:
                return "Signs beside its successor"
            case Status.RETIRED:
                return "Retired; what it signed stays valid"
        return "Revoked"

    @property
    def counts(self) -> str:
        """Say for which entries of the log a signature by this key counts."""
        first, last = self.key.published_range()
        if last is None:
            return f"from entry {first:,} on"
        if last < first:
            return "for no entry"
        return f"for entries {first:,} to {last:,}"

    @property
    def is_in_use(self) -> bool:
        return self.key.status == Status.ACTIVE

    @property
    def pin(self) -> str:
        """What a verifier is given: a checkpoint key in the form of signed notes."""
        public_key = bytes(self.key.public_key)
        if self.key.purpose == Purpose.CHECKPOINT:
            return str(VerifierKey.of(self.log.origin, public_key))
        return base58.encode(public_key)


class ConfirmedRotationForm(RotationForm):
    kid = kid_field()

    def clean_kid(self) -> str:
        return typed_kid(self)


@member(can=Right.READ_RECEIPTS)
def signing_keys(request: PageRequest) -> HttpResponse:
    log = _logs(request).first()
    rows = _keys(request).order_by("-pk") if log else []
    keys = [Shown(row, log) for row in rows if log]
    context = {
        "log": log,
        "in_use": {shown.key.purpose: shown for shown in keys if shown.is_in_use},
        # Those in use first; sorted() keeps the rest as they are, the newest first.
        "keys": sorted(keys, key=lambda shown: not shown.is_in_use),
        "can_manage": request.member.may(Right.MANAGE_KEYS),
    }
    return render(request, "receipts/keys.html", context)


@member(can=Right.READ_RECEIPTS)
def key_file(request: PageRequest) -> HttpResponse:
    """The public keys as a JWKS: a download."""
    tenant, mode = request.member.tenant, request.member.mode
    log = _logs(request).first()
    events.record(
        events.person(request),
        "signing_key.exported",
        tenant_id=tenant.pk,
        kind="log",
        object_id=log.origin if log else "",
    )
    answer = JsonResponse(jwks(tenant.pk, mode))
    name = f"{tenant.slug}-{mode}-keys.jwks.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@member(can=Right.MANAGE_KEYS)
def rotate(request: PageRequest, kid: str) -> HttpResponse:
    shown = _find(request, kid)
    if not shown.is_in_use:
        messages.error(request, "This key is not in use, and has nothing to hand over.")
        return redirect(request.member.address("keys"))
    template = "receipts/key_rotate.html"
    return _ask(request, shown, ConfirmedRotationForm, ROTATION, template)


@member(can=Right.MANAGE_KEYS)
def revoke(request: PageRequest, kid: str) -> HttpResponse:
    shown, template = _find(request, kid), "receipts/key_revoke.html"
    return _ask(request, shown, RevocationForm, REVOCATION, template)


def _logs(request: PageRequest) -> Any:
    member = request.member
    return Log.objects.filter(tenant=member.tenant, mode=member.mode)


def _keys(request: PageRequest) -> Any:
    member = request.member
    return SigningKey.objects.filter(tenant=member.tenant, mode=member.mode)


def _find(request: PageRequest, kid: str) -> Shown:
    key = get_object_or_404(_keys(request).select_related("tenant"), kid=kid)
    return Shown(key, _logs(request).get())


def _ask(
    request: PageRequest,
    shown: Shown,
    form_class: type[KeyForm],
    question: Question,
    template: str,
) -> HttpResponse:
    """Show the form until it is filled in well; then do what it asks for."""
    given = request.POST if request.method == "POST" else None
    form = form_class(shown.key, given, label_suffix="")
    if form.carry_out(request):
        messages.success(request, _told(form))
        return redirect(request.member.address("keys"))
    last_index = shown.log.size - 1
    return ask(request, question, template, form, shown=shown, last_index=last_index)


def _told(form: KeyForm) -> str:
    if form.change is None:
        return "The key was revoked at this entry before. Nothing was changed."
    key, successor = form.change.key, form.change.successor
    done = f"{key.kid} is {key.get_status_display().lower()} now:"
    if successor:
        done = f"{done} {successor.kid} signs from the next entry on;"
    return f"{done} entry {form.change.leaf_index:,} of the log tells of it."
