"""What is to be exported, as the form of the page asks for it, and its address."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from orchestrations.call_filter import CallFilter
from orchestrations.models import CostSource
from receipts.evidence import MAX_RECEIPTS
from receipts.export_file import CSV, JSONL
from receipts.forms import AFTER_LAST, entry_field
from receipts.receipt_filter import PageFilter
from tenants.filter_forms import DaysForm, exactly, unix_time
from tenants.models import ApiKey, Tenant

RECEIPTS, INFERENCES = "receipts", "inferences"
KINDS = {RECEIPTS: "Receipts", INFERENCES: "Inferences (LLM calls)"}
FORMATS = {CSV: "CSV, for a spreadsheet", JSONL: "JSONL, one JSON object to a line"}
USUAL = {"what": RECEIPTS, "format": CSV}

# Filters by what they are of: name, label, help.
OF_BOTH = [
    ("model", "Model", ""),
    ("provider", "Provider", "As openai, anthropic"),
    ("agent_id", "Agent", ""),
    ("orchestration_id", "Orchestration", "As maip-orch:01J…"),
]
OF_RECEIPTS = [
    ("receipt_type", "Type", "As compute, inference, orchestration"),
    ("model_passport_id", "Model passport", ""),
    ("compute_passport_id", "Compute passport", ""),
    ("trace_id", "Trace", ""),
    ("policy_hash", "Policy hash", "64 hexadecimal digits"),
    ("runtime", "Runtime", "As vllm"),
    ("signer_kid", "Signing key", "Its kid"),
]
OF_INFERENCES = [
    ("workflow_id", "Workflow", ""),
    ("api_key", "API key", "Its id, or the beginning that is shown of it"),
]
OF_LOG = {"entries_from": "Entries from", "entries_to": "Entries to"}
ONLY = {
    RECEIPTS: [*(name for name, _, _ in OF_RECEIPTS), *OF_LOG],
    INFERENCES: [*(name for name, _, _ in OF_INFERENCES), "cost_source"],
}


class ExportForm(DaysForm):
    """Every filter is exact; those of the other kind must be empty."""

    what = forms.ChoiceField(choices=KINDS, label="What")
    format = forms.ChoiceField(choices=FORMATS, label="As")
    proofs = forms.BooleanField(
        required=False,
        label="With proofs",
        help_text="Receipts alone: each as a file, with the proof that it is in the log"
        f" and the program that verifies all of it offline. At most {MAX_RECEIPTS:,},"
        " as not every program can read a zip of more files.",
    )

    def __init__(self, given: Any, tenant: Tenant, mode: str) -> None:
        super().__init__(given)
        self._tenant, self._mode = tenant, mode
        for name, label, help_text in [*OF_BOTH, *OF_RECEIPTS, *OF_INFERENCES]:
            self.fields[name] = exactly(label, help_text)
        for name, label in OF_LOG.items():
            self.fields[name] = entry_field(label)
        self.fields["cost_source"] = forms.ChoiceField(
            required=False,
            choices=[("", "Any"), *CostSource.choices],
            label="Who says the cost",
        )

    @classmethod
    def from_address(cls, query: QueryDict, tenant: Tenant, mode: str) -> "ExportForm":
        """Return the form as an address fills it in, where it does."""
        form = cls({**USUAL, **query.dict()}, tenant, mode)
        form.is_bound = bool(form.fields.keys() & query.keys())
        form.initial = dict(USUAL)
        return form

    @property
    def both(self) -> list[Any]:
        names = [*(name for name, _, _ in OF_BOTH), "from", "to"]
        return [self[name] for name in names]

    @property
    def of_receipts(self) -> list[Any]:
        return [self[name] for name in ONLY[RECEIPTS]]

    @property
    def of_inferences(self) -> list[Any]:
        return [self[name] for name in ONLY[INFERENCES]]

    @property
    def opens_receipts(self) -> bool:
        return self._opens(RECEIPTS)

    @property
    def opens_inferences(self) -> bool:
        return self._opens(INFERENCES)

    def _opens(self, kind: str) -> bool:
        """Whether something is given, or wrong, among the filters of one kind."""
        return any(self[name].value() or self[name].errors for name in ONLY[kind])

    @property
    def filters(self) -> dict[str, str]:
        """The filters that are set, as a manifest and an access event say them."""
        unsaid = {"what", "format", "proofs"}
        return {
            name: str(value)
            for name, value in self.cleaned_data.items()
            if value not in ("", None) and name not in unsaid
        }

    def clean_api_key(self) -> str:
        name: str = self.cleaned_data["api_key"].strip()
        if not name:
            return ""
        keys = ApiKey.objects.filter(tenant=self._tenant, mode=self._mode)
        try:
            key = keys.filter(pk=UUID(name)).first()
        except ValueError:
            key = keys.filter(prefix=name).first()
        if key is None:
            raise ValidationError("There is no such key.")
        return str(key.pk)

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        what = given.get("what")
        other = INFERENCES if what == RECEIPTS else RECEIPTS
        for name in ONLY[other] if what else ():
            if given.get(name) not in ("", None):
                self.add_error(name, f"{KINDS[str(what)]} have no such filter.")
        if given.get("proofs") and (what, given.get("format")) != (RECEIPTS, JSONL):
            self.add_error("proofs", "Proofs are of receipts as JSONL.")
        self.refuse_backwards("entries_from", "entries_to", AFTER_LAST)
        return given

    def receipt_filter(self) -> PageFilter:
        given = self.cleaned_data
        names = [name for name, _, _ in [*OF_BOTH, *OF_RECEIPTS]]
        claims: dict[str, Any] = {name: given[name] or None for name in names}
        return PageFilter(
            since=unix_time(self.since),
            until=unix_time(self.until),
            first_entry=given["entries_from"],
            last_entry=given["entries_to"],
            **claims,
        )

    def call_filter(self) -> CallFilter:
        given = self.cleaned_data
        return CallFilter(
            model=given["model"] or None,
            provider=given["provider"] or None,
            agent_id=given["agent_id"] or None,
            workflow_id=given["workflow_id"] or None,
            api_key_id=UUID(given["api_key"]) if given["api_key"] else None,
            orchestration_id=given["orchestration_id"] or None,
            cost_source=given["cost_source"] or None,
            first=given["from"],
            last=given["to"],
        )
