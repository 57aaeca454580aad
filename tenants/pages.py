"""Pages of a person rather than of a tenant: in, out, and the account."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.cache import add_never_cache_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters

from tenants import events
from tenants.forms import ChangePasswordForm, LogInForm
from tenants.page_access import CHOSEN, PageRequest, signed_in


@sensitive_post_parameters("password")
def log_in(request: HttpRequest) -> HttpResponse:
    target = _local(request.POST.get("next") or request.GET.get("next", ""))
    if request.user.is_authenticated:
        return redirect(target)
    form = LogInForm(request, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.get_user())  # with a new session key
        return redirect(target)
    return _uncached(request, "tenants/log_in.html", {"form": form, "next": target})


def log_out(request: HttpRequest) -> HttpResponseBase:
    """A link logs nobody out, but leads to the button that does."""
    if request.method != "POST":
        return _offer_to_log_out(request)
    logout(request)
    return redirect("home")


@signed_in
def _offer_to_log_out(request: PageRequest) -> HttpResponse:
    return render(request, "tenants/log_out.html")


@sensitive_post_parameters()
@signed_in
def account(request: PageRequest) -> HttpResponse:
    form = ChangePasswordForm(request.user, data=request.POST or None)
    if request.method == "POST" and form.is_valid():
        _change_password(request, form)
        messages.success(
            request, "The password is changed. You are logged out everywhere else."
        )
        return redirect("account")
    return render(request, "tenants/account.html", {"form": form}, status=_status(form))


@signed_in
def switch(request: PageRequest) -> HttpResponse:
    if request.method != "POST":  # as whoever had to log in first
        return redirect("home")
    slug = request.POST.get("tenant", "")
    if slug not in {row.tenant.slug for row in request.member.memberships}:
        raise Http404
    request.session[CHOSEN] = slug
    return redirect("home", slug=slug)


@transaction.atomic
def _change_password(request: HttpRequest, form: ChangePasswordForm) -> None:
    user = form.save()
    # Other sessions know the old one, which ends them.
    update_session_auth_hash(request, user)
    events.record(
        events.person(request),
        "password.changed",
        tenant_id=None,
        kind="user",
        object_id=user.email,
    )


def _local(url: str) -> str:
    """Return an address on this server, whatever was asked for."""
    is_path = url.startswith("/") and url.isprintable() and "\\" not in url
    # Django knows more ways to write the name of another server.
    if is_path and url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return url
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def _uncached(
    request: HttpRequest, template: str, context: dict[str, Any]
) -> HttpResponse:
    answer = render(request, template, context, status=_status(context["form"]))
    add_never_cache_headers(answer)
    return answer


def _status(form: Any) -> int:
    return 400 if form.errors else 200
