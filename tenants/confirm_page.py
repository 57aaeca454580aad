"""The page that asks once more before something is done that is not taken back."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render

from tenants.page_access import PageRequest


@dataclass(frozen=True, slots=True)
class Question:
    """What the page is called, and the way back: a route, and that page's name."""

    title: str
    button: str
    back: str
    back_to: str
    is_dangerous: bool = True


def ask(
    request: PageRequest,
    question: Question,
    template: str,
    form: forms.Form,
    **context: Any,
) -> HttpResponse:
    """Show what will be done and its form; `template` extends tenants/confirm.html."""
    context |= {"question": question, "form": form}
    return render(request, template, context, status=400 if form.errors else 200)
