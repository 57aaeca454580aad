"""The form of a provider: a credential is written there and never shown again."""

from typing import Any

from django import forms

from orchestrations.credentials import complaint_about


class LinesField(forms.JSONField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 4})

    def __init__(self, *, help_text: str = "", **options: Any) -> None:
        super().__init__(help_text=f"{help_text} One a line.", **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def to_python(self, value: Any) -> Any:
        lines = (line.strip() for line in (value or "").splitlines())
        return [line for line in lines if line]


# Django's form and admin classes take no type arguments at run time.
class ProviderCredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    credential = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["credential"].help_text = (
            "Leave empty to keep the one that is set."
            if self.instance.pk
            else "An API key; of bedrock also ACCESS_KEY_ID:SECRET[:SESSION_TOKEN]."
            " Custom providers may ask for none."
        )

    def clean(self) -> None:
        credential = self.cleaned_data.get("credential", "")
        provider = self.cleaned_data.get("provider") or self.instance.provider
        if provider and self._is_to_be_set(credential):
            complaint = complaint_about(credential, provider)
            if complaint:
                self.add_error("credential", complaint)

    def save(self, commit: bool = True) -> Any:
        credential = self.cleaned_data["credential"]
        if self._is_to_be_set(credential):
            self.instance.credential = credential
        return super().save(commit)

    def _is_to_be_set(self, credential: str) -> bool:
        return bool(credential or not self.instance.pk)
