"""Who belongs to a tenant: each change with its access event, in one transaction."""

from typing import Any

from django.db import IntegrityError, transaction

from lucid.isolation import working_for
from tenants import events
from tenants.events import Actor
from tenants.models import Membership, Tenant, User
from tenants.roles import Role


class NotPossible(Exception):
    """Says in words why not."""


def add(actor: Actor, tenant: Tenant, user: User, role: str) -> Membership:
    membership = Membership(tenant=tenant, user=user, role=role)
    with working_for(tenant.pk):
        try:
            with transaction.atomic():
                membership.save(force_insert=True)
                _record(actor, "member.added", membership, after={"role": role})
        except IntegrityError:
            raise NotPossible(f"{user.email} is a member already.") from None
    return membership


def change_role(actor: Actor, membership: Membership, role: str) -> None:
    with working_for(membership.tenant_id), transaction.atomic():
        row = _locked(membership)
        if row.role == role:
            return
        before, row.role = row.role, role
        _keep_an_admin(row, before)
        row.save(update_fields=["role"])
        changed: dict[str, Any] = {"before": {"role": before}, "after": {"role": role}}
        _record(actor, "member.changed", row, **changed)


def remove(actor: Actor, membership: Membership, reason: str = "") -> None:
    with working_for(membership.tenant_id), transaction.atomic():
        row = _locked(membership)
        _keep_an_admin(row, row.role)
        before = {"role": row.role}
        _record(actor, "member.removed", row, before=before, reason=reason)
        row.delete()


def _locked(membership: Membership) -> Membership:
    """Return the row as it is now; of two who change a tenant's admins one waits."""
    rows = Membership.objects.filter(tenant=membership.tenant_id)
    admins = rows.filter(role=Role.ADMIN) | rows.filter(pk=membership.pk)
    locked = {row.pk: row for row in admins.select_for_update().order_by("pk")}
    try:
        row = locked[membership.pk]
    except KeyError:
        raise NotPossible("This person is no member any more.") from None
    row.tenant, row.user = membership.tenant, membership.user
    return row


def _keep_an_admin(row: Membership, role: str) -> None:
    others = Membership.objects.filter(tenant=row.tenant_id, role=Role.ADMIN)
    if role == Role.ADMIN and not others.exclude(pk=row.pk).exists():
        raise NotPossible(
            f"{row.user.email} is the last admin of {row.tenant.slug}. Make somebody"
            " else an admin first."
        )


def _record(actor: Actor, action: str, row: Membership, **what: Any) -> None:
    events.record(
        actor,
        action,
        tenant_id=row.tenant_id,
        kind="member",
        object_id=row.user.email,
        **what,
    )
