"""The filters of the pages of runs, as their addresses have them."""

from decimal import Decimal
from typing import Any

from django import forms

from orchestrations.models import Orchestration
from orchestrations.money import MAX_CENTS, MAX_CLAIMED_PLACES, plain
from orchestrations.run_calls import CallFilter, Only
from orchestrations.run_filter import RunFilter
from tenants.filter_forms import DaysForm, SaysWhatIsSet, exactly

ANY = [("", "Any")]
MAX_STEPS = 10_000  # of a run


class RunFilterForm(SaysWhatIsSet, DaysForm):
    status = forms.ChoiceField(
        required=False, choices=[*ANY, *Orchestration.Status.choices]
    )
    agent_id = exactly("Agent", "Its id, exactly", is_claimed=True)
    workflow_id = exactly("Workflow", "Its id, exactly", is_claimed=True)
    min_cost = forms.DecimalField(
        required=False,
        label="At least, US$",
        min_value=0,
        max_value=MAX_CENTS / 100,
        decimal_places=MAX_CLAIMED_PLACES + 2,
        help_text="Of the whole run",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )

    def in_words(self, name: str, value: Any) -> str:
        if name == "min_cost":
            return f"{value:f}"
        return super().in_words(name, value)

    def as_filter(self, cursor: str | None) -> RunFilter:
        given = self.cleaned_data
        return RunFilter(
            cursor=cursor,
            status=given["status"] or None,
            agent_id=given["agent_id"] or None,
            workflow_id=given["workflow_id"] or None,
            since=self.since,
            until=self.until,
            min_cost_cents=_cents(given["min_cost"]),
        )


class CallFilterForm(SaysWhatIsSet):
    """Which of a run's calls its page lists, and from where on its steps."""

    agent = exactly("Agent", "Its id, exactly", is_claimed=True)
    model = exactly("Model", "As it was asked for", is_claimed=True)
    only = forms.ChoiceField(
        required=False, label="Only", choices=[("", "All"), *Only.choices]
    )
    steps_after = forms.IntegerField(
        required=False, min_value=0, max_value=MAX_STEPS, widget=forms.HiddenInput
    )
    check = forms.ChoiceField(
        required=False, choices=[("sequence", "sequence")], widget=forms.HiddenInput
    )

    def as_filter(self, cursor: str | None) -> CallFilter:
        given = self.cleaned_data
        return CallFilter(given["agent"], given["model"], given["only"], cursor or None)


def _cents(dollars: Decimal | None) -> str | None:
    return None if dollars is None else plain(dollars * 100)
