"""Managers of tenant-owned models: the rows of those worked for, and never all rows."""

from typing import Generic, TypeVar

from django.db import models

from lucid import isolation

Row = TypeVar("Row", bound=models.Model)


class TenantManager(models.Manager[Row], Generic[Row]):
    """Raises NoTenant, whatever is asked, where the code works for nobody."""

    column = "tenant_id"

    def get_queryset(self) -> models.QuerySet[Row]:
        rows = super().get_queryset()
        tenants = isolation.current()
        if tenants is None:
            raise isolation.NoTenant(
                f"{self.model.__name__} rows, but of which tenant?"
            )
        if tenants == isolation.ALL:
            return rows
        if len(tenants) == 1:
            return rows.filter(**{self.column: next(iter(tenants))})
        return rows.filter(**{f"{self.column}__in": tenants})


class TenantOwned(models.Model):
    """A model with a `tenant`, whose rows are shown to that tenant alone."""

    objects = TenantManager()

    class Meta:
        abstract = True


class TenantsThemselves(TenantManager[Row]):
    column = "pk"
