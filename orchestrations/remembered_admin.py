from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class RememberedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Of rows that every worker remembers (`orchestrations.models.remembered`)."""

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:  # one by one, as delete() tells every worker
            row.delete()
