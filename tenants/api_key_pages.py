"""The pages of API keys, for those who manage them. A secret is shown once."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from lucid.api.errors import ApiError
from lucid.api.pagination import DEFAULT_LIMIT, cut, decode_place, encode_place
from tenants import events
from tenants.api_key_forms import NewKeyForm, RotateKeyForm
from tenants.api_keys import revoke_key, rotate_key
from tenants.confirm_forms import ConfirmForm
from tenants.confirm_page import Question, ask
from tenants.granting import Terms, issue
from tenants.models import ApiKey, NotRotatable
from tenants.page_access import PageRequest, member
from tenants.querysets import SOON
from tenants.roles import Right
from tenants.scopes import IN_WORDS, allows

DAY = timedelta(days=1)
# What a key is tried with: the first of these that it may do.
TRIALS = [
    ("receipts:read", "/v1/receipts"),
    ("orchestrations:read", "/v1/orchestrations"),
    ("metrics:read", "/v1/costs"),
    ("keys:read", "/v1/api-keys"),
    ("audit:read", "/v1/audit/events"),
]
ANYWAY = "/v1/receipts"  # answers which scope is lacking, to a key that is good
BACK = ("api-keys", "API keys")
ROTATION = Question("Rotate an API key", "Rotate this key", *BACK, is_dangerous=False)
REVOCATION = Question("Revoke an API key", "Revoke this key", *BACK)


@dataclass(frozen=True)
class Shown:
    """An API key as the pages have it."""

    key: ApiKey

    @property
    def is_active(self) -> bool:
        return self.key.state() == "active"

    @property
    def is_rotated(self) -> bool:
        return self.key.rotated_to_id is not None

    @property
    def days_left(self) -> int | None:
        """How many days are begun until it ends, where that is soon."""
        left = self.key.ends_at and self.key.ends_at - timezone.now()
        return -(-left // DAY) if left and left <= SOON else None

    @property
    def verdict(self) -> str:
        match self.key.state():
            case "active":
                return "warn" if self.is_rotated or self.days_left else "good"
            case "revoked":
                return "bad"
        return "open"

    @property
    def status(self) -> str:
        match self.key.state():
            case "revoked":
                return "Revoked"
            case "rotated":
                return "Rotated"
            case "expired":
                return "Expired"
        if self.is_rotated:
            return "Rotated, and works until"  # a time follows
        if (days := self.days_left) is not None:
            return f"Expires in {days} day{'s' if days > 1 else ''}"
        return "Active"

    @property
    def scopes(self) -> list[tuple[str, str]]:
        return [(scope, IN_WORDS.get(scope, scope)) for scope in self.key.scopes]


@member(can=Right.MANAGE_KEYS)
def api_keys(request: PageRequest) -> HttpResponse:
    if request.method != "POST":
        return _list(request, NewKeyForm(request.member.mode))
    form = NewKeyForm(request.member.mode, request.POST)
    if not form.is_valid():
        return _list(request, form)
    assert form.terms  # noqa: S101  of a valid form
    actor, tenant = events.person(request), request.member.tenant
    key, text = issue(actor, tenant, form.cleaned_data["name"], form.terms)
    return _show_once(request, key, text)


@member(can=Right.MANAGE_KEYS)
def rotate(request: PageRequest, key_id: UUID) -> HttpResponse:
    key = _find(request, key_id)
    form = RotateKeyForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        Terms.of_manager(request.member.mode).give(Terms.of(key))
        overlap = timedelta(seconds=form.cleaned_data["overlap"])
        actor, reason = events.person(request), form.cleaned_data["reason"]
        try:
            successor, text = rotate_key(actor, key, overlap, reason=reason)
        except NotRotatable as error:
            form.add_error(None, str(error))
        else:
            return _show_once(request, successor, text, rotated=key)
    template = "tenants/api_key_rotate.html"
    return ask(request, ROTATION, template, form, shown=Shown(key))


@member(can=Right.MANAGE_KEYS)
def revoke(request: PageRequest, key_id: UUID) -> HttpResponse:
    key = _find(request, key_id)
    given = request.POST if request.method == "POST" else None
    form = ConfirmForm("prefix of this key", key.prefix, given)
    if form.is_valid():
        revoke_key(events.person(request), key, form.cleaned_data["reason"])
        messages.success(request, f"{key.prefix} is revoked, in every worker.")
        return redirect(request.member.address("api-keys"))
    template = "tenants/api_key_revoke.html"
    return ask(request, REVOCATION, template, form, shown=Shown(key))


def _keys(request: PageRequest) -> Any:
    member = request.member
    return ApiKey.objects.filter(tenant=member.tenant, mode=member.mode)


def _find(request: PageRequest, key_id: UUID) -> ApiKey:
    key: ApiKey = get_object_or_404(_keys(request).select_related("tenant"), pk=key_id)
    return key


def _list(request: PageRequest, form: NewKeyForm) -> HttpResponse:
    cursor = request.GET.get("cursor") or None
    context: dict[str, Any] = {"form": form, "is_newest": cursor is None}
    try:
        after = decode_place(cursor) if cursor else None
        rows, more = cut(_keys(request).newest(after), DEFAULT_LIMIT)
    except ApiError:  # a cursor that somebody has made up
        context["bad_cursor"] = True
    else:
        last = rows[-1] if more else None
        context["keys"] = [Shown(row) for row in rows]
        context["next_cursor"] = last and encode_place(last.created_at, last.pk)
    status = 400 if form.errors or "bad_cursor" in context else 200
    return render(request, "tenants/api_keys.html", context, status=status)


def _show_once(
    request: PageRequest, key: ApiKey, text: str, rotated: ApiKey | None = None
) -> HttpResponse:
    """Answer with the secret itself: to a redirect it would have to be kept."""
    allowed = [path for scope, path in TRIALS if allows(key.scopes, scope)]
    context = {
        "shown": Shown(key),
        "secret": text,
        "rotated": rotated and Shown(rotated),
        "trial": request.build_absolute_uri(next(iter(allowed), ANYWAY)),
    }
    return render(request, "tenants/api_key_made.html", context)
