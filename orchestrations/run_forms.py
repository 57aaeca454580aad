"""The filters of the pages of runs, as their addresses have them."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django import forms

from orchestrations.models import Orchestration
from orchestrations.money import MAX_CENTS, MAX_CLAIMED_PLACES, plain
from orchestrations.run_calls import CallFilter, Only
from orchestrations.run_filter import RunFilter
from tenants.forms import PlainForm

ANY = [("", "Any")]
MAX_STEPS = 10_000  # of a run


class SaysWhatIsSet(PlainForm):
    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """The filters that are set: name, label and value."""
        return [
            (name, str(self[name].label), self._in_words(name, value))
            for name, value in self.cleaned_data.items()
            if value not in ("", None)
        ]

    def _in_words(self, name: str, value: Any) -> str:
        choices = dict(getattr(self.fields[name], "choices", ()))
        return str(choices.get(value, value))


class RunFilterForm(SaysWhatIsSet):
    status = forms.ChoiceField(
        required=False, choices=[*ANY, *Orchestration.Status.choices]
    )
    agent_id = forms.CharField(
        required=False, max_length=200, label="Agent", help_text="Its id, exactly"
    )
    workflow_id = forms.CharField(
        required=False, max_length=200, label="Workflow", help_text="Its id, exactly"
    )
    min_cost = forms.DecimalField(
        required=False,
        label="At least, US$",
        min_value=0,
        max_value=MAX_CENTS / 100,
        decimal_places=MAX_CLAIMED_PLACES + 2,
        help_text="Of the whole run",
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        for name, label in (("from", "From"), ("to", "To")):  # `from` is a keyword
            self.fields[name] = forms.DateField(
                required=False,
                label=label,
                help_text="A day, in UTC",
                widget=forms.DateInput(attrs={"type": "date"}),
            )

    def _in_words(self, name: str, value: Any) -> str:
        if name == "min_cost":
            return f"{value:f}"
        return super()._in_words(name, value)

    def as_filter(self, cursor: str | None) -> RunFilter:
        given = self.cleaned_data
        return RunFilter(
            cursor=cursor,
            status=given["status"] or None,
            agent_id=given["agent_id"] or None,
            workflow_id=given["workflow_id"] or None,
            since=_moment(given["from"], time.min),
            until=_moment(given["to"], time.max),
            min_cost_cents=_cents(given["min_cost"]),
        )


class CallFilterForm(SaysWhatIsSet):
    """Which of a run's calls its page lists, and from where on its steps."""

    agent = forms.CharField(required=False, max_length=200, help_text="Exactly")
    model = forms.CharField(
        required=False, max_length=200, help_text="As it was asked for"
    )
    only = forms.ChoiceField(
        required=False, label="Only", choices=[("", "All"), *Only.choices]
    )
    steps_after = forms.IntegerField(
        required=False, min_value=0, max_value=MAX_STEPS, widget=forms.HiddenInput
    )
    check = forms.ChoiceField(
        required=False, choices=[("sequence", "sequence")], widget=forms.HiddenInput
    )

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        return [chip for chip in super().chips if not self[chip[0]].is_hidden]

    def as_filter(self, cursor: str | None) -> CallFilter:
        given = self.cleaned_data
        return CallFilter(given["agent"], given["model"], given["only"], cursor or None)


def _moment(day: date | None, hour: time) -> datetime | None:
    return None if day is None else datetime.combine(day, hour, UTC)


def _cents(dollars: Decimal | None) -> str | None:
    return None if dollars is None else plain(dollars * 100)
