"""The filter by an API key, as people write it."""

from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from tenants.models import ApiKey


class KeyNamed:
    """What a person wrote for a key; `key` is None where it is gone."""

    def __init__(self, text: str, tenant_id: UUID) -> None:
        keys = ApiKey.objects.filter(tenant_id=tenant_id)
        try:
            self.pk = UUID(text)
        except ValueError:
            self.key = keys.filter(prefix=text).first()
            if self.key is None:
                raise ValidationError("No API key has this prefix.") from None
            self.pk = self.key.pk
        else:
            self.key = keys.filter(pk=self.pk).first()

    @property
    def words(self) -> str:
        return self.key.name if self.key else str(self.pk)


def key_field(label: str) -> forms.CharField:
    return forms.CharField(
        required=False,
        max_length=60,
        label=label,
        help_text="Its id, or its prefix: lk_live_…",
    )
