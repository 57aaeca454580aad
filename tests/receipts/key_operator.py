"""An operator who changes the keys of a caller's log, and what is published of them."""

from datetime import timedelta
from typing import Any

from receipts.key_changes import Change, revoke_key, rotate_key
from receipts.key_publication import jwks
from receipts.models import SigningKey
from tenants import events
from tests.caller import Caller

REASON = "once a year"
THEFT = "a laptop was stolen"


def rotate(
    caller: Caller, purpose: str = "receipt", overlap: timedelta = timedelta(days=7)
) -> Change:
    actor = events.command_line()
    mode = caller.key.mode
    return rotate_key(caller.tenant, mode, purpose, actor, REASON, overlap)


def revoke(caller: Caller, kid: str, last_valid_index: int) -> Change | None:
    key = SigningKey.objects.get(tenant=caller.tenant, kid=kid)
    return revoke_key(key, last_valid_index, events.command_line(), THEFT)


def active_kid(caller: Caller, purpose: str = "receipt") -> str:
    keys = SigningKey.objects.filter(tenant=caller.tenant, mode=caller.key.mode)
    return keys.get(purpose=purpose, status="active").kid


def published(caller: Caller) -> dict[str, dict[str, Any]]:
    """Return the published keys by their kid."""
    keys = jwks(caller.tenant.pk, caller.key.mode)["keys"]
    return {key["kid"]: key for key in keys}


def range_of(caller: Caller, kid: str) -> tuple[str, int, int | None]:
    key = published(caller)[kid]
    return key["status"], key["first_index"], key["last_index"]
