"""Rows of a tenant that every worker remembers, until told otherwise."""

from typing import Any

from django.db import models, transaction

from lucid.owned import TenantOwned
from tenants.models import Tenant


class Remembered(TenantOwned):
    """Changed or deleted, makes workers look again (`Tenant.forget_keys`)."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)

    class Meta:
        abstract = True

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        super().save(*args, **options)
        self.tenant.forget_keys()

    @transaction.atomic
    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        self.tenant.forget_keys()
        return super().delete(*args, **options)
