"""Admin actions that are not taken back easily: a page names the rows and asks why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

MOST_ROWS = 100


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="Stays on record with your name. At most 500 letters.",
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What the page says; `action` is the name of the action's method."""

    action: str
    title: str
    consequence: str
    done: str  # as "Suspended"


def act_with_reason(
    admin: "ModelAdmin[Any]",
    request: HttpRequest,
    rows: "QuerySet[Any]",
    question: Question,
    act: Callable[[Any, str], None],
) -> HttpResponse | None:
    """Ask for a reason; with one, act on each row, all in one transaction.

    `act` is given a row and the reason, and puts on record what it did.
    """
    if len(rows[: MOST_ROWS + 1]) > MOST_ROWS:
        text = f"Choose {MOST_ROWS} at most."
        admin.message_user(request, text, messages.ERROR)
        return None
    form = ReasonForm(request.POST if "reason" in request.POST else None)
    if not form.is_valid():
        return _page(admin, request, rows, question, form)
    reason = form.cleaned_data["reason"]
    with transaction.atomic():
        for row in rows:
            act(row, reason)
    names = ", ".join(map(str, rows))
    admin.message_user(request, f"{question.done}: {names}.", messages.SUCCESS)
    return None


def _page(
    admin: "ModelAdmin[Any]",
    request: HttpRequest,
    rows: "QuerySet[Any]",
    question: Question,
    form: ReasonForm,
) -> HttpResponse:
    context = {
        **admin.admin_site.each_context(request),
        "title": question.title,
        "question": question,
        "rows": rows,
        "form": form,
        "opts": admin.opts,
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/ask_reason.html", context)
