"""What is asked of whoever issues, rotates or revokes an API key on a page."""

from typing import Any

from django import forms

from lucid.api.errors import ApiError
from lucid.api.parsing import check
from tenants.claims import DAY, MOST_LIFETIME, NewApiKey
from tenants.confirm_forms import one_line, reason_field
from tenants.forms import PlainForm
from tenants.granting import Terms
from tenants.scopes import IN_WORDS

HOUR = 3600  # seconds
OVERLAPS = [
    (DAY, "a day"),
    (0, "not at all: it ends now"),
    (HOUR, "an hour"),
    (7 * DAY, "7 days"),
    (30 * DAY, "30 days"),
]
# Members of NewApiKey under other names here.
FIELDS = {"expires_in_seconds": "expires_in_days"}


class NewKeyForm(PlainForm):
    name = forms.CharField(
        max_length=200, validators=[one_line], help_text="What the key is for."
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=[(scope, f"{words} ({scope})") for scope, words in IN_WORDS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    expires_in_days = forms.IntegerField(
        label="Expires after days",
        required=False,
        min_value=1,
        max_value=MOST_LIFETIME // DAY,
        help_text="Empty: never.",
    )
    allowed_addresses = forms.CharField(
        required=False,
        max_length=6100,  # a hundred of 60, and their ends of line
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="Networks as 192.0.2.0/24, or single addresses, one a line. Empty:"
        " it may be used from anywhere.",
    )
    requests_per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=999_999_999,
        help_text="Empty: as many as the tenant may.",
    )

    def __init__(self, mode: str, given: Any = None) -> None:
        super().__init__(given, initial={"expires_in_days": 90})
        self.mode = mode
        self.terms: Terms | None = None  # known once the form is valid

    def clean(self) -> None:
        if self.errors:
            return
        try:
            self.terms = Terms.of_manager(self.mode).granted(self._claims())
        except ApiError as error:
            self._complain(error)

    def _claims(self) -> NewApiKey:
        """Return what the API would be asked for, whose rules hold here."""
        given = self.cleaned_data
        days = given["expires_in_days"]
        asked = {
            "name": given["name"],
            "scopes": given["scopes"],
            "mode": self.mode,
            "expires_in_seconds": days and days * DAY,
            "allowed_addresses": given["allowed_addresses"].split(),
            "requests_per_minute": given["requests_per_minute"],
        }
        return check(asked, NewApiKey)

    def _complain(self, error: ApiError) -> None:
        for place, complaints in (error.details or {"": [error.message]}).items():
            name = place.partition("[")[0]
            name = FIELDS.get(name, name)
            self.add_error(name if name in self.fields else None, complaints)


class RotateKeyForm(PlainForm):
    overlap = forms.TypedChoiceField(
        label="How long the old key still works",
        choices=OVERLAPS,
        coerce=int,
        help_text="Long enough for every program to be given the new one.",
    )
    reason = reason_field()
