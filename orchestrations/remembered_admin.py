from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from tenants.audited_admin import AuditedAdmin


class RememberedAdmin(AuditedAdmin):
    """Of rows that every worker remembers (`orchestrations.models.remembered`)."""

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:  # one by one, as delete() tells every worker
            row.delete()
