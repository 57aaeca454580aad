"""Access events: who read, exported, verified or changed what (ARCHITECTURE section 2).

Written in the transaction of the change that they tell of, or beside the read. They
hold no secret: `before` and `after` are what anybody may see who may see the object.
"""

import getpass
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from lucid.api.addresses import client_address
from lucid.isolation import across_tenants, working_for
from tenants.models import AccessEvent

ActorKind = AccessEvent.ActorKind


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `name` is for people: an e-mail address, a key's prefix."""

    kind: ActorKind
    id: str = ""
    name: str = ""
    address: str | None = None
    request_id: str = ""


def person(request: HttpRequest, user: Any = None) -> Actor:
    """Return whoever is logged in; an empty id and name where nobody is."""
    user = user or getattr(request, "user", None)
    return Actor(
        ActorKind.PERSON,
        str(getattr(user, "pk", None) or ""),
        str(getattr(user, "email", "")),
        client_address(request),
        str(getattr(request, "request_id", "")),
    )


def nobody(request: HttpRequest) -> Actor:
    """Return whoever sends a request and has not logged in, of whom we know a place."""
    return Actor(
        ActorKind.PERSON,
        address=client_address(request),
        request_id=str(getattr(request, "request_id", "")),
    )


def command_line() -> Actor:
    """Return the operator at the machine, by the name of the account there."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # an account that the machine does not know
        name = ""
    return Actor(ActorKind.COMMAND, name=name)


def record(
    actor: Actor,
    action: str,
    *,
    tenant_id: UUID | None,
    kind: str = "",
    object_id: object = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AccessEvent:
    """Note that something was done, as `api_key.revoked`, to an object of that kind.

    Without a tenant the event is the installation's, and for operators alone. Works
    for the tenant of the event by itself.
    """
    event = AccessEvent(
        tenant_id=tenant_id,
        action=action,
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:200],
        address=actor.address,
        request_id=actor.request_id,
        object_kind=kind,
        object_id=str(object_id)[:200],
        before=before,
        after=after,
        reason=reason,
    )
    with across_tenants() if tenant_id is None else working_for(tenant_id):
        event.save(force_insert=True)
    return event
