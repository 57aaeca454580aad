"""What a tenant may decide about itself, each time with an access event."""

from typing import Any

from django.db import transaction

from tenants import events
from tenants.events import Actor
from tenants.models import Tenant
from tenants.row_states import difference, state_of


@transaction.atomic
def change_tenant(
    actor: Actor, tenant: Tenant, *, name: str, requests_per_minute: int | None
) -> bool:
    """Set the name, and how much all of its keys may ask for; None: without a limit.

    Returns whether anything changed.
    """
    row = _locked(tenant)
    before = state_of(row)
    row.name, row.requests_per_minute = name, requests_per_minute
    was, now = difference(before, state_of(row))
    if not now:
        return False
    row.save(update_fields=["name", "requests_per_minute"])
    row.forget_keys()  # workers remember its limit with them
    _record(actor, "tenant.changed", row, before=was, after=now)
    return True


@transaction.atomic
def set_option(
    actor: Actor, tenant: Tenant, name: str, value: Any, action: str, reason: str
) -> bool:
    """Set one of `tenant.settings`; `action` is what events call that."""
    row = _locked(tenant)
    before = row.settings.get(name)
    if (before or None) == (value or None):  # what is not set is off
        return False
    row.settings = row.settings | {name: value}
    row.save(update_fields=["settings"])
    _record(
        actor, action, row, before={name: before}, after={name: value}, reason=reason
    )
    return True


def _locked(tenant: Tenant) -> Tenant:
    return Tenant.objects.select_for_update().get(pk=tenant.pk)


def _record(actor: Actor, action: str, row: Tenant, **more: Any) -> None:
    events.record(
        actor, action, tenant_id=row.pk, kind="tenant", object_id=row.slug, **more
    )
