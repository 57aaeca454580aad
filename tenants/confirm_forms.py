"""What is asked of whoever does what is not taken back: its name once more, and why."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from tenants.claims import NO_CONTROLS
from tenants.forms import PlainForm

TYPED = {"autocomplete": "off", "spellcheck": "false"}

one_line = RegexValidator(NO_CONTROLS, "This is one line, without control characters.")


def reason_field() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        validators=[one_line],
        help_text="Is kept with the access event.",
    )


class ConfirmForm(PlainForm):
    """`what` has to be typed, as "name of this tenant", and it is `name`."""

    typed = forms.CharField(widget=forms.TextInput(attrs=TYPED))
    reason = reason_field()

    def __init__(
        self, what: str, name: str, given: Any = None, *, initial: Any = None
    ) -> None:
        super().__init__(given, initial=initial)
        self.what, self.name = what, name
        self.fields["typed"].label = f"The {what}, typed again"
        self.fields["typed"].help_text = f"As here: {name}"

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed != self.name:
            raise ValidationError(f"This is not the {self.what}.")
        return typed


class RemoveMemberForm(ConfirmForm):
    def clean_typed(self) -> str:
        self.cleaned_data["typed"] = self.cleaned_data["typed"].lower()
        return super().clean_typed()
