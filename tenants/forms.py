from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.core.exceptions import ValidationError

from lucid.api.addresses import client_address
from tenants import throttle
from tenants.models import User
from tenants.roles import Role


class TellsToWait(AuthenticationForm):
    """Says for how long the next try has to wait, of any account alike."""

    error_messages = {
        "invalid_login": "This e-mail address and password do not belong together.",
        "wait": "Log-ins have failed too often. Wait %(time)s before the next try:"
        " until then the right password is refused too.",
        "inactive": "This account is not active.",
    }

    def get_invalid_login_error(self) -> ValidationError:
        email = self.cleaned_data.get("username", "")
        address = client_address(self.request) if self.request else None
        seconds = throttle.seconds_to_wait(email, address)
        if not seconds:
            return super().get_invalid_login_error()
        message = self.error_messages["wait"]
        return ValidationError(message, "wait", {"time": _in_words(seconds)})


def _in_words(seconds: int) -> str:
    if seconds >= 120:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds} seconds" if seconds > 1 else "a second"


class LogInForm(TellsToWait):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, label_suffix="", **options)
        email = self.fields["username"]
        email.label = "E-mail address"
        email.widget.attrs["inputmode"] = "email"


class OperatorLogInForm(TellsToWait, AdminAuthenticationForm):
    error_messages = {
        **AdminAuthenticationForm.error_messages,
        **TellsToWait.error_messages,
    }


class ChangePasswordForm(PasswordChangeForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, label_suffix="", **options)
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["new_password2"].label = "New password again"


class PlainForm(forms.Form):
    def __init__(self, given: Any = None, *, initial: Any = None) -> None:
        super().__init__(given, initial=initial, label_suffix="")


@dataclass(frozen=True)
class Part:
    """Some fields of a form that has many, under a heading."""

    heading: str
    meaning: str
    names: Sequence[str]

    def of(self, form: Any) -> tuple[str, str, list[forms.BoundField]]:
        return self.heading, self.meaning, [form[name] for name in self.names]


class AddMemberForm(PlainForm):
    email = forms.EmailField(
        label="E-mail address",
        help_text="Of somebody who has an account on this server already.",
    )
    role = forms.ChoiceField(choices=Role.choices)

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        self.user = User.objects.filter(email=email, is_active=True).first()
        if self.user is None:
            raise ValidationError(
                "There is no account with this address. Whoever runs this server makes"
                " one with: manage.py create_user"
            )
        return email


class RoleForm(PlainForm):
    role = forms.ChoiceField(choices=Role.choices)
