"""Pages of who belongs to a tenant."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from tenants import events
from tenants import members as membership
from tenants.confirm_forms import RemoveMemberForm
from tenants.confirm_page import Question, ask
from tenants.forms import AddMemberForm, RoleForm
from tenants.members import NotPossible
from tenants.models import Membership
from tenants.page_access import PageRequest, member
from tenants.roles import Right

REMOVAL = Question("Remove a member", "Remove this member", "members", "Members")


@member(can=Right.READ_MEMBERS, to_post=Right.MANAGE_MEMBERS)
def members(request: PageRequest) -> HttpResponse:
    if request.method == "POST":
        return _add(request)
    return _list(request, AddMemberForm())


def _add(request: PageRequest) -> HttpResponse:
    form = AddMemberForm(request.POST)

    def act() -> str:
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        assert form.user  # noqa: S101  or the form is not valid
        actor, tenant = events.person(request), request.member.tenant
        membership.add(actor, tenant, form.user, role)
        return f"{email} is a member now, as {role}."

    return _done(request, form, act) or _list(request, form)


@member(can=Right.MANAGE_MEMBERS)
def member_detail(request: PageRequest, member_id: UUID) -> HttpResponse:
    row = _find(request, member_id)
    if request.method != "POST":
        return _detail(request, row, RoleForm(initial={"role": row.role}))
    form = RoleForm(request.POST)

    def act() -> str:
        membership.change_role(events.person(request), row, form.cleaned_data["role"])
        return f"{row.user.email} is {form.cleaned_data['role']} now."

    return _done(request, form, act) or _detail(request, row, form)


@member(can=Right.MANAGE_MEMBERS)
def remove(request: PageRequest, member_id: UUID) -> HttpResponse:
    row = _find(request, member_id)
    given = request.POST if request.method == "POST" else None
    form = RemoveMemberForm("address of this member", row.user.email, given)

    def act() -> str:
        reason = form.cleaned_data["reason"]
        membership.remove(events.person(request), row, reason)
        return f"{row.user.email} is a member no more."

    done = _done(request, form, act)
    return done or ask(request, REMOVAL, "tenants/member_remove.html", form, row=row)


def _find(request: PageRequest, member_id: UUID) -> Membership:
    rows = Membership.objects.of_tenant(request.member.tenant)
    return get_object_or_404(rows, pk=member_id)


def _done(
    request: PageRequest, form: forms.Form, act: Callable[[], str]
) -> HttpResponse | None:
    """Do what a valid form asks for; None where the form now says why not."""
    if not form.is_valid():
        return None
    try:
        messages.success(request, act())
    except NotPossible as error:
        form.add_error(None, str(error))
        return None
    return redirect(request.member.address("members"))


def _list(request: PageRequest, form: forms.Form) -> HttpResponse:
    rows = Membership.objects.of_tenant(request.member.tenant)
    context = {
        "rows": rows,
        "form": form,
        "can_manage": request.member.may(Right.MANAGE_MEMBERS),
    }
    return _render(request, "tenants/members.html", context, form)


def _detail(request: PageRequest, row: Membership, form: forms.Form) -> HttpResponse:
    return _render(request, "tenants/member.html", {"row": row, "form": form}, form)


def _render(
    request: PageRequest, template: str, context: dict[str, Any], form: Any
) -> HttpResponse:
    return render(request, template, context, status=400 if form.errors else 200)
