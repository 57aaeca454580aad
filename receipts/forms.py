"""The filters of the page of receipts, as its address has them."""

from typing import Any

from django import forms

from receipts.gist import TYPES
from receipts.merkle import MAX_SIZE
from receipts.receipt_filter import PageFilter
from tenants.filter_forms import DaysForm, SaysWhatIsSet, exactly, unix_time
from tenants.forms import PlainForm

AFTER_LAST = "This is after the last entry."


def entry_field(label: str) -> forms.IntegerField:
    """Return a bound of the places in the log, as lists number them."""
    return forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SIZE,
        label=label,
        help_text="A place in the log; the first is 0",
    )


class ReceiptFilterForm(SaysWhatIsSet, DaysForm):
    day_help = "A day in UTC, of the time claimed"

    receipt_type = forms.ChoiceField(
        required=False, label="Type", choices=[("", "Any"), *TYPES.items()]
    )
    model = exactly("Model", is_claimed=True)
    provider = exactly("Provider")
    agent_id = exactly("Agent", is_claimed=True)
    orchestration_id = exactly("Orchestration")
    trace_id = exactly("Trace")
    model_passport_id = exactly("Model passport")
    compute_passport_id = exactly("Compute passport")
    runtime = exactly("Runtime")
    policy_hash = exactly("Policy hash", "64 hexadecimal digits")
    signer_kid = exactly("Signing key", "Its kid, whole")
    entries_from = entry_field("Entries from")
    entries_to = entry_field("Entries to")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.refuse_backwards("entries_from", "entries_to", AFTER_LAST)
        return cleaned

    def as_filter(self, cursor: str | None) -> PageFilter:
        given = self.cleaned_data
        bounds = {"from", "to", "entries_from", "entries_to"}
        claims = {n: v for n, v in given.items() if v and n not in bounds}
        return PageFilter(
            cursor=cursor,
            since=unix_time(self.since),
            until=unix_time(self.until),
            first_entry=given["entries_from"],
            last_entry=given["entries_to"],
            **claims,
        )


class FindForm(PlainForm):
    find = forms.CharField(
        max_length=200,
        label="Find one receipt",
        help_text="A receipt_id, run_id or receipt_hash, whole",
    )
