"""The filters of the page of receipts, as its address has them."""

from datetime import time
from typing import Any

from django import forms

from receipts.gist import TYPES
from receipts.receipt_filter import ReceiptFilter
from tenants.forms import PlainForm, unix_time


def _exactly(label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        required=False, max_length=200, label=label, help_text=help_text
    )


class ReceiptFilterForm(PlainForm):
    receipt_type = forms.ChoiceField(
        required=False, label="Type", choices=[("", "Any"), *TYPES.items()]
    )
    model = _exactly("Model")
    provider = _exactly("Provider")
    agent_id = _exactly("Agent")
    orchestration_id = _exactly("Orchestration")
    trace_id = _exactly("Trace")
    model_passport_id = _exactly("Model passport")
    compute_passport_id = _exactly("Compute passport")
    runtime = _exactly("Runtime")
    policy_hash = _exactly("Policy hash", "64 hexadecimal digits")
    signer_kid = _exactly("Signing key", "Its kid, whole")

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        for name, label in (("from", "From"), ("to", "To")):  # `from` is a keyword
            self.fields[name] = forms.DateField(
                required=False,
                label=label,
                help_text="A day in UTC, of the time claimed",
                widget=forms.DateInput(attrs={"type": "date"}),
            )

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """The filters that are set: name, label and value."""
        shown = self.cleaned_data | {
            "receipt_type": TYPES.get(self.cleaned_data["receipt_type"], "")
        }
        return [
            (name, str(self.fields[name].label), str(value))
            for name, value in shown.items()
            if value
        ]

    def as_filter(self, cursor: str | None) -> ReceiptFilter:
        days = {"from", "to"}
        claims = {n: v for n, v in self.cleaned_data.items() if v and n not in days}
        return ReceiptFilter(
            cursor=cursor,
            since=unix_time(self.cleaned_data["from"], time.min),
            until=unix_time(self.cleaned_data["to"], time(23, 59, 59)),
            **claims,
        )


class FindForm(PlainForm):
    find = forms.CharField(
        max_length=200,
        label="Find one receipt",
        help_text="A receipt_id, run_id or receipt_hash, whole",
    )
