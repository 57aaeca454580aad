"""The addresses of the pages of costs, as forms."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import QueryDict

from orchestrations.call_filter import WITHOUT, CallFilter
from orchestrations.cost_periods import Asked, Preset
from orchestrations.costs import GroupBy, Period
from orchestrations.key_filter import KeyNamed, key_field
from orchestrations.models import CostSource, Provider
from orchestrations.step_search import StepSearch
from tenants.filter_forms import DaysForm, SaysWhatIsSet, exactly

MAX_DAYS = 3660
# In an address, and those of the API besides.
BY = {
    "model": GroupBy.MODEL,
    "provider": GroupBy.PROVIDER,
    "agent": GroupBy.AGENT,
    "workflow": GroupBy.WORKFLOW,
    "key": GroupBy.API_KEY,
    "day": GroupBy.DAY,
}
SORTS = {"cost": "Cost", "calls": "Calls", "tokens": "Tokens"}
TABLES = {
    "groups": "What it was spent on",
    "days": "Each day",
    "tokens": "Tokens",
    "runs": "The dearest runs",
    "unpriced": "Models without a price",
}


class CostDaysForm(DaysForm):
    earliest, latest = date(1970, 1, 1), date(2999, 12, 31)


class CostForm(CostDaysForm):
    period = forms.ChoiceField(
        required=False,
        choices=[(preset.value, preset.label) for preset in Preset],
        widget=forms.HiddenInput,
    )
    by = forms.ChoiceField(
        required=False, choices=[(name, name) for name in BY], widget=forms.HiddenInput
    )
    sort = forms.ChoiceField(
        required=False, choices=list(SORTS.items()), widget=forms.HiddenInput
    )
    skip = forms.IntegerField(
        required=False, min_value=0, max_value=1000, widget=forms.HiddenInput
    )
    table = forms.ChoiceField(
        required=False, choices=list(TABLES.items()), widget=forms.HiddenInput
    )

    format = forms.ChoiceField(
        required=False, choices=[("csv", "CSV")], widget=forms.HiddenInput
    )

    def __init__(self, given: Any, today: date) -> None:
        super().__init__(given)
        self._today = today

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if not self.errors:
            days = self.asked.period.length.days
            if days < 1:
                self.add_error("from", "This is after today.")
            elif days > MAX_DAYS:
                self.add_error("from", f"These are more than {MAX_DAYS:,} days.")
        return cleaned

    @property
    def asked(self) -> Asked:
        """The days that are named, else those of the preset."""
        first, last = self.cleaned_data["from"], self.cleaned_data["to"]
        if not (first or last):
            preset = Preset(self.cleaned_data["period"] or Preset.THIRTY)
            return Asked(preset.period(self._today), preset)
        last = last or max(self._today, first)
        return Asked(Period(first or last - timedelta(days=29), last))

    @property
    def is_csv(self) -> bool:
        return bool(self.cleaned_data["format"])

    @property
    def grouping(self) -> str:
        """One of BY."""
        return self.cleaned_data["by"] or "model"

    @property
    def group_by(self) -> GroupBy:
        return BY[self.grouping]

    @property
    def order(self) -> str:
        """One of SORTS; of days "" too: the newest first."""
        usual = "" if self.group_by == GroupBy.DAY else "cost"
        return self.cleaned_data["sort"] or usual


SOURCE_WORDS = {
    CostSource.PROVIDER_REPORTED: "said by the provider",
    CostSource.AGENT_REPORTED: "said by the agent",
    CostSource.TENANT_PRICE: "by your own price",
    CostSource.CATALOGUE: "by the list price",
    CostSource.UNPRICED: "no price when it was made",
    CostSource.NO_CHARGE: "nothing was charged",
}
YES = [("yes", "Yes")]
WITHOUTS = {
    "agent_id": "an agent",
    "workflow_id": "a workflow",
    "api_key": "an API key",
}


class CallForm(SaysWhatIsSet, CostDaysForm):
    model = exactly("Model", is_claimed=True)
    provider = forms.ChoiceField(
        required=False, choices=[("", "Any"), *Provider.choices]
    )
    agent_id = exactly("Agent", is_claimed=True)
    workflow_id = exactly("Workflow", is_claimed=True)
    api_key = key_field("API key")
    orchestration_id = forms.CharField(
        required=False, max_length=36, label="Run", help_text="maip-orch:…"
    )
    cost_source = forms.ChoiceField(
        required=False,
        label="Where the cost is from",
        choices=[("", "Anywhere"), *SOURCE_WORDS.items()],
    )
    unpriced = forms.ChoiceField(
        required=False,
        label="Without a price until now",
        choices=[("", "Or with"), *YES],
    )
    failed = forms.ChoiceField(
        required=False,
        label="Failed",
        choices=[("", "Or not"), *YES, ("unknown", "Nobody knows")],
    )
    format = forms.ChoiceField(
        required=False, choices=[("csv", "CSV")], widget=forms.HiddenInput
    )
    without = forms.ChoiceField(
        required=False,
        label="Made without",
        choices=[("", "Anything"), *WITHOUTS.items()],
    )

    def __init__(self, given: QueryDict, tenant_id: UUID) -> None:
        super().__init__(given)
        self._tenant_id = tenant_id
        self.key: KeyNamed | None = None

    def clean_api_key(self) -> UUID | None:
        text: str = self.cleaned_data["api_key"]
        self.key = KeyNamed(text, self._tenant_id) if text else None
        return self.key.pk if self.key else None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        name = cleaned.get("without")
        if name and cleaned.get(name):
            self.add_error("without", "No call is both of one and without.")
        return cleaned

    @property
    def filter(self) -> CallFilter:
        given = self.cleaned_data
        named = {
            "agent_id": given["agent_id"] or None,
            "workflow_id": given["workflow_id"] or None,
            "api_key": given["api_key"],
        }
        if given["without"]:
            named[given["without"]] = WITHOUT[given["without"]]
        return CallFilter(
            model=given["model"] or None,
            provider=given["provider"] or None,
            agent_id=named["agent_id"],
            workflow_id=named["workflow_id"],
            api_key_id=named["api_key"],
            orchestration_id=given["orchestration_id"] or None,
            cost_source=given["cost_source"] or None,
            unpriced=bool(given["unpriced"]),
            failed=given["failed"] == "yes",
            unknown=given["failed"] == "unknown",
            first=given["from"],
            last=given["to"],
        )

    def in_words(self, name: str, value: Any) -> str:
        if name == "api_key" and self.key:
            return self.key.words
        return super().in_words(name, value)


class StepForm(SaysWhatIsSet, CostDaysForm):
    agent_id = exactly("Agent", is_claimed=True)
    workflow_id = exactly("Workflow", is_claimed=True)
    without = forms.ChoiceField(
        required=False,
        label="Without",
        choices=[
            ("", "Anything"),
            *((name, WITHOUTS[name]) for name in ("agent_id", "workflow_id")),
        ],
    )
    format = forms.ChoiceField(
        required=False, choices=[("csv", "CSV")], widget=forms.HiddenInput
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        name = cleaned.get("without")
        if name and cleaned.get(name):
            self.add_error("without", "No step is both of one and without.")
        return cleaned

    def search(self, tenant_id: UUID, mode: str) -> StepSearch:
        given = self.cleaned_data
        named = {name: given[name] or None for name in ("agent_id", "workflow_id")}
        if given["without"]:
            named[given["without"]] = ""
        return StepSearch(
            tenant_id, mode, **named, first=given["from"], last=given["to"]
        )
