"""The admin of providers: a credential is written here and never shown again."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from orchestrations.models import ProviderCredential
from orchestrations.provider_forms import LinesField, ProviderCredentialForm
from orchestrations.remembered_admin import RememberedAdmin


class ProviderCredentialAdmin(RememberedAdmin):
    kind = "provider"
    form = ProviderCredentialForm
    formfield_overrides = {models.JSONField: {"form_class": LinesField}}
    list_display = ["tenant", "provider", "url", "takes", "concurrency", "updated_at"]
    list_display_links = ["tenant", "provider"]
    list_filter = ["provider"]
    list_select_related = ["tenant"]
    search_fields = ["tenant__slug"]
    autocomplete_fields = ["tenant"]
    fieldsets = [
        (None, {"fields": ["tenant", "provider", "credential"]}),
        ("Where and what", {"fields": ["base_url", "allowed_hosts", "model_patterns"]}),
        (
            "Limits",
            {
                "fields": [
                    "connect_seconds",
                    "silence_seconds",
                    "total_seconds",
                    "retries",
                    "concurrency",
                ],
                "description": "Silence is the wait for the next byte of an answer,"
                " total that for its end; retries are tries after the first.",
            },
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["tenant", "provider"] if obj else []

    def object_id(self, obj: ProviderCredential) -> str:
        return obj.provider

    @admin.display(description="Models")
    def takes(self, row: ProviderCredential) -> str:
        return ", ".join(row.model_patterns) or "any"
