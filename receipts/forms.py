"""The filters of the page of receipts, as its address has them."""

from django import forms

from receipts.gist import TYPES
from receipts.receipt_filter import ReceiptFilter
from tenants.filter_forms import DaysForm, SaysWhatIsSet, exactly, unix_time
from tenants.forms import PlainForm


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

    def as_filter(self, cursor: str | None) -> ReceiptFilter:
        days = {"from", "to"}
        claims = {n: v for n, v in self.cleaned_data.items() if v and n not in days}
        return ReceiptFilter(
            cursor=cursor,
            since=unix_time(self.since),
            until=unix_time(self.until),
            **claims,
        )


class FindForm(PlainForm):
    find = forms.CharField(
        max_length=200,
        label="Find one receipt",
        help_text="A receipt_id, run_id or receipt_hash, whole",
    )
