"""What is asked of whoever changes a tenant's settings, prices and providers."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils import timezone

from orchestrations.models import Price, ProviderCredential
from orchestrations.provider_forms import LinesField, ProviderCredentialForm
from orchestrations.terms_changes import LARGEST_BUDGET
from tenants.claims import NO_CONTROLS
from tenants.forms import PlainForm
from tenants.models import Tenant

ONE_LINE = "This is one line, without control characters."
TYPED = {"autocomplete": "off", "spellcheck": "false"}
CENTS = 100  # in a dollar

one_line = RegexValidator(NO_CONTROLS, ONE_LINE)


def reason_field() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        validators=[one_line],
        help_text="Is kept with the access event.",
    )


class TenantForm(PlainForm):
    name = forms.CharField(max_length=200, validators=[one_line])
    requests_per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=999_999_999,
        help_text="By all API keys of this tenant together. Empty: without a limit.",
    )


class PublicLogForm(PlainForm):
    slug = forms.CharField(
        label="Tenant, typed again", widget=forms.TextInput(attrs=TYPED)
    )
    reason = reason_field()
    # What was on offer when the page was made: of two who publish, none withdraws.
    public = forms.TypedChoiceField(
        choices=[("yes", "yes"), ("no", "no")],
        coerce=lambda text: text == "yes",
        widget=forms.HiddenInput,
    )

    def __init__(self, tenant: Tenant, given: Any = None, *, public: bool) -> None:
        super().__init__(given, initial={"public": "no" if public else "yes"})
        self.tenant = tenant
        self.fields["slug"].help_text = f"As in addresses: {tenant.slug}"

    def clean_slug(self) -> str:
        return _same(self.cleaned_data["slug"], self.tenant.slug, "tenant")


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

    def __init__(self, tenant: Tenant, given: Any = None) -> None:
        row = Price(tenant=tenant)
        super().__init__(given, instance=row, label_suffix="")

    def clean_model(self) -> str:
        name: str = self.cleaned_data["model"]
        one_line(name)
        return name

    def clean_valid_from(self) -> datetime:
        return self.cleaned_data["valid_from"] or timezone.now()


class EndPriceForm(PlainForm):
    at = forms.DateTimeField(
        label="Until", required=False, help_text=f"{MOMENT} Empty: now."
    )

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


class RemoveProviderForm(PlainForm):
    provider = forms.CharField(
        label="Provider, typed again", widget=forms.TextInput(attrs=TYPED)
    )
    reason = reason_field()

    def __init__(self, row: ProviderCredential, given: Any = None) -> None:
        super().__init__(given)
        self.row = row
        self.fields["provider"].help_text = f"Its name: {row.provider}"

    def clean_provider(self) -> str:
        return _same(self.cleaned_data["provider"], self.row.provider, "provider")


def _same(typed: str, expected: str, what: str) -> str:
    if typed != expected:
        raise ValidationError(f"This is not the name of this {what}.")
    return typed
