"""Providers of a tenant are set and removed, each time with an access event."""

from typing import Any

from django.db import transaction

from orchestrations.models import ProviderCredential
from tenants import events
from tenants.events import Actor
from tenants.row_states import State, difference, shown, state_of


@transaction.atomic
def save_provider(actor: Actor, row: ProviderCredential, before: State | None) -> None:
    """Save a row that is valid; `before` is its state until now, None of a new one."""
    row.save()
    after = state_of(row)
    if before is None:
        _record(actor, "provider.created", row, after=shown(after))
        return
    was, now = difference(before, after)
    _record(actor, "provider.changed", row, before=was, after=now)


@transaction.atomic
def remove_provider(actor: Actor, row: ProviderCredential, reason: str = "") -> None:
    """Delete a provider, credential and all: no new call reaches it."""
    before = shown(state_of(row))
    _record(actor, "provider.removed", row, before=before, reason=reason)
    row.delete()


def _record(actor: Actor, action: str, row: ProviderCredential, **more: Any) -> None:
    events.record(
        actor,
        action,
        tenant_id=row.tenant_id,
        kind="provider",
        object_id=row.provider,
        **more,
    )
