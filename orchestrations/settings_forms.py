"""What is asked of whoever changes a tenant's settings, prices and providers."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.utils import timezone

from orchestrations.models import Price, ProviderCredential
from orchestrations.provider_forms import LinesField, ProviderCredentialForm
from orchestrations.terms_changes import LARGEST_BUDGET
from tenants.confirm_forms import TYPED, ConfirmForm, one_line
from tenants.forms import Part, PlainForm
from tenants.models import Tenant

CENTS = 100  # in a dollar


class TenantForm(PlainForm):
    name = forms.CharField(max_length=200, validators=[one_line])
    requests_per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=999_999_999,
        help_text="By all API keys of this tenant together. Empty: without a limit.",
    )


class PublicLogForm(ConfirmForm):
    # What was on offer when the page was made: of two who publish, none withdraws.
    public = forms.TypedChoiceField(
        choices=[("yes", "yes"), ("no", "no")],
        coerce=lambda text: text == "yes",
        widget=forms.HiddenInput,
    )

    def __init__(self, tenant: Tenant, given: Any = None, *, public: bool) -> None:
        offered = {"public": "no" if public else "yes"}
        super().__init__("name of this tenant", tenant.slug, given, initial=offered)


class BudgetForm(PlainForm):
    limit = forms.DecimalField(
        label="US dollars a month",
        required=False,
        min_value=0,
        max_value=LARGEST_BUDGET / CENTS,
        decimal_places=11,
        help_text="Empty: without a limit. Months are of UTC.",
    )

    @property
    def cents(self) -> Decimal | None:
        limit = self.cleaned_data["limit"]
        return None if limit is None else limit * CENTS


MOMENT = "In UTC, as 2026-11-01 or 2026-11-01 12:00."


PRICE_PARTS = [
    Part("Which calls", "", ["provider", "model"]),
    Part(
        "Rates, in US dollars per million tokens",
        "All of them empty: the list price. Else input and output are given, and a"
        " cache rate that is left empty is that of input.",
        [
            "input_rate",
            "output_rate",
            "cache_read_rate",
            "cache_write_5m_rate",
            "cache_write_1h_rate",
        ],
    ),
    Part("What is paid of them, and when", "", ["factor", "valid_from", "valid_to"]),
]
PROVIDER_PARTS = [
    Part("Where calls go", "", ["credential", "base_url", "model_patterns"]),
    Part(
        "Limits",
        "Silence is the wait for the next byte of an answer, total that for its end;"
        " retries are tries after the first.",
        [
            "connect_seconds",
            "silence_seconds",
            "total_seconds",
            "retries",
            "concurrency",
        ],
    ),
]


# Django's form classes take no type arguments at run time.
class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    valid_from = forms.DateTimeField(required=False, help_text=f"{MOMENT} Empty: now.")
    valid_to = forms.DateTimeField(required=False, help_text="Empty: until ended.")

    class Meta:
        model = Price
        fields = [
            "provider",
            "model",
            "input_rate",
            "output_rate",
            "cache_read_rate",
            "cache_write_5m_rate",
            "cache_write_1h_rate",
            "factor",
            "valid_from",
            "valid_to",
        ]
        widgets = {"model": forms.TextInput(attrs=TYPED)}
        labels = {  # of a part whose heading has the unit
            "input_rate": "Input",
            "output_rate": "Output",
            "cache_read_rate": "Cache read",
            "cache_write_5m_rate": "Cache write, 5 min",
            "cache_write_1h_rate": "Cache write, 1 h",
            "factor": "Discount factor",
        }

    def __init__(self, tenant: Tenant, given: Any = None) -> None:
        row = Price(tenant=tenant)
        super().__init__(given, instance=row, label_suffix="")

    @property
    def parts(self) -> list[Any]:
        return [part.of(self) for part in PRICE_PARTS]

    def clean_model(self) -> str:
        name: str = self.cleaned_data["model"]
        one_line(name)
        return name

    def clean_valid_from(self) -> datetime:
        return self.cleaned_data["valid_from"] or timezone.now()


class EndPriceForm(ConfirmForm):
    at = forms.DateTimeField(
        label="Until", required=False, help_text=f"{MOMENT} Empty: now."
    )
    field_order = ("at", "typed", "reason")

    def clean_at(self) -> datetime:
        return self.cleaned_data["at"] or timezone.now()


class ProviderForm(ProviderCredentialForm):
    """Without `allowed_hosts`: who runs this server says what of its network is met."""

    class Meta:
        model = ProviderCredential
        fields = [
            "base_url",
            "model_patterns",
            "connect_seconds",
            "silence_seconds",
            "total_seconds",
            "retries",
            "concurrency",
        ]
        field_classes = {"model_patterns": LinesField}

    field_order = ["credential", *Meta.fields]

    def __init__(self, row: ProviderCredential, given: Any = None) -> None:
        super().__init__(given, instance=row, label_suffix="")

    @property
    def parts(self) -> list[Any]:
        return [part.of(self) for part in PROVIDER_PARTS]

    def clean(self) -> None:
        super().clean()
        if self._goes_elsewhere() and not self.cleaned_data.get("credential"):
            # Else whoever may set an address could have the old one sent to them.
            self.add_error(
                "credential", "Give it again: it is sent to the new address."
            )

    def _goes_elsewhere(self) -> bool:
        row, url = self.instance, self.cleaned_data.get("base_url")
        if row.pk is None or url is None or not row.credential:
            return False
        there = ProviderCredential(provider=row.provider, base_url=url)
        return bool(there.url != row.url)
