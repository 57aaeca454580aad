"""The filters of the pages of runs, as their addresses have them."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.http import QueryDict

from orchestrations.call_filter import WITHOUT
from orchestrations.key_filter import KeyNamed, key_field
from orchestrations.models import Orchestration, Provider
from orchestrations.money import MAX_CENTS, MAX_CLAIMED_PLACES, plain
from orchestrations.run_calls import CallFilter, Only
from orchestrations.run_filter import RunFilter
from orchestrations.run_search import RunSearch
from tenants.filter_forms import DaysForm, SaysWhatIsSet, day_field, exactly

ANY = [("", "Any")]
MAX_STEPS = 10_000  # of a run
# A call within a run: the columns that filters are of.
OF_CALL = {
    "call_model": "model",
    "call_provider": "provider",
    "call_agent": "agent_id",
    "call_workflow": "workflow_id",
    "call_key": "api_key_id",
}
WITHOUTS = {
    "agent_id": "call_agent",
    "workflow_id": "call_workflow",
    "api_key": "call_key",
}


class RunFilterForm(SaysWhatIsSet, DaysForm):
    day_labels = ("Started from", "Started to")

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
    ended_from = day_field("Ended from", "A day, in UTC")
    ended_to = day_field("Ended to", "A day, in UTC")
    call_model = exactly("Has a call of the model", is_claimed=True)
    call_provider = forms.ChoiceField(
        required=False,
        label="Has a call to",
        choices=[*ANY, *Provider.choices],
        help_text="The provider",
    )
    call_agent = exactly("Has a call by the agent", is_claimed=True)
    call_workflow = exactly("Has a call for the workflow", is_claimed=True)
    call_key = key_field("Has a call with the API key")
    call_without = forms.ChoiceField(
        required=False,
        label="Has a call without",
        choices=[
            *ANY,
            ("agent_id", "an agent"),
            ("workflow_id", "a workflow"),
            ("api_key", "an API key"),
        ],
    )

    def __init__(self, given: QueryDict, tenant_id: UUID) -> None:
        super().__init__(given)
        own = ("status", "agent_id", "workflow_id", "min_cost")
        self.order_fields([*own, "from", "to"])
        self._tenant_id = tenant_id
        self._key: KeyNamed | None = None

    def clean_call_key(self) -> UUID | None:
        text: str = self.cleaned_data["call_key"]
        self._key = KeyNamed(text, self._tenant_id) if text else None
        return self._key.pk if self._key else None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.refuse_backwards("ended_from", "ended_to", "This is after the last day.")
        without = cleaned.get("call_without")
        if without and cleaned.get(WITHOUTS[without]):
            self.add_error("call_without", "No call is both of one and without.")
        return cleaned

    def in_words(self, name: str, value: Any) -> str:
        if name == "min_cost":
            return f"{value:f}"
        if name == "call_key" and self._key:
            return self._key.words
        return super().in_words(name, value)

    def as_search(self, cursor: str) -> RunSearch:
        given = self.cleaned_data
        return RunSearch(
            self._as_filter(),
            cursor,
            first=given["ended_from"],
            last=given["ended_to"],
            call=self._call(),
        )

    def _call(self) -> dict[str, Any]:
        given = self.cleaned_data
        call = {OF_CALL[name]: given[name] for name in OF_CALL if given[name]}
        if without := given["call_without"]:
            call[OF_CALL[WITHOUTS[without]]] = WITHOUT[without]
        return call

    def _as_filter(self) -> RunFilter:
        given = self.cleaned_data
        return RunFilter(
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
