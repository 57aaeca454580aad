"""Keys come, change hands and go; each time an access event says who did it."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from tenants.events import Actor, record
from tenants.models import ApiKey, Mode, Tenant


@transaction.atomic
def create_key(
    actor: Actor,
    tenant: Tenant,
    name: str,
    scopes: list[str],
    mode: str = Mode.LIVE,
    expires_in: timedelta | None = None,
    **terms: Any,
) -> tuple[ApiKey, str]:
    """Create a key; return it with its secret text. `terms` as ApiKey.objects.issue."""
    key, text = ApiKey.objects.issue(tenant, name, scopes, mode, expires_in, **terms)
    _record(actor, "api_key.created", key, after=terms_of(key))
    return key, text


@transaction.atomic
def rotate_key(
    actor: Actor,
    key: ApiKey,
    overlap: timedelta,
    expires_in: timedelta | None = None,
    *,
    reason: str = "",
) -> tuple[ApiKey, str]:
    """Return the key's successor with its secret text. Raises NotRotatable."""
    before = terms_of(key)
    successor, text = key.rotate(overlap, expires_in)
    after = terms_of(successor) | {"overlap_ends_at": _iso(key.overlap_ends_at)}
    _record(actor, "api_key.rotated", key, before=before, after=after, reason=reason)
    return successor, text


@transaction.atomic
def revoke_key(actor: Actor, key: ApiKey, reason: str = "") -> None:
    """End the key in every worker; of one that was revoked nothing is recorded."""
    before = {"state": key.state()}
    if key.revoke():
        after = {"state": key.state()}
        _record(
            actor, "api_key.revoked", key, before=before, after=after, reason=reason
        )


def _record(actor: Actor, action: str, key: ApiKey, **more: Any) -> None:
    record(
        actor,
        action,
        tenant_id=key.tenant_id,
        kind="api_key",
        object_id=key.prefix,
        **more,
    )


def terms_of(key: ApiKey) -> dict[str, Any]:
    """Return what a key may do and for how long, of which nothing is secret."""
    return {
        "prefix": key.prefix,
        "name": key.name,
        "mode": key.mode,
        "scopes": key.scopes,
        "expires_at": _iso(key.expires_at),
        "allowed_addresses": key.allowed_addresses,
        "requests_per_minute": key.requests_per_minute,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
