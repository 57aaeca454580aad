"""What is paid, and what may be spent: changed with an access event each time."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from orchestrations.models import Budget, Price
from tenants import events
from tenants.events import Actor
from tenants.models import Tenant
from tenants.row_states import difference, shown, state_of

LARGEST_BUDGET = Decimal((2**63 - 1) // 10**9)  # in cents: what a column holds


@transaction.atomic
def set_budget(actor: Actor, tenant: Tenant, mode: str, limit: Decimal | None) -> None:
    """Set what may be spent in a month, in cents; None is no limit."""
    Tenant.objects.select_for_update().get(pk=tenant.pk)  # of two who set it one waits
    row = Budget.objects.filter(tenant=tenant, mode=mode).first()
    if limit is None:
        if row:
            _record(actor, "budget.removed", row, before=shown(state_of(row)))
            row.delete()
        return
    before = state_of(row) if row else None
    row = row or Budget(tenant=tenant, mode=mode)
    row.limit = limit
    after = state_of(row)
    if before is None:
        row.save()
        _record(actor, "budget.created", row, after=shown(state_of(row)))
    elif before != after:
        row.save()
        was, now = difference(before, after)
        _record(actor, "budget.changed", row, before=was, after=now)


@transaction.atomic
def add_price(actor: Actor, price: Price) -> None:
    """Save a new price that is valid. Earlier prices stay for earlier calls."""
    price.save()
    _record(actor, "price.created", price, after=shown(state_of(price)))


@transaction.atomic
def end_price(actor: Actor, price: Price, at: datetime, reason: str) -> None:
    """Let a price hold until a time; one that has not begun by then is removed."""
    before = state_of(price)
    if at <= price.valid_from:
        _record(actor, "price.removed", price, before=shown(before), reason=reason)
        price.delete()
        return
    price.valid_to = at
    price.save()
    was, now = difference(before, state_of(price))
    _record(actor, "price.changed", price, before=was, after=now, reason=reason)


def _record(actor: Actor, action: str, row: Budget | Price, **more: Any) -> None:
    is_budget = isinstance(row, Budget)
    events.record(
        actor,
        action,
        tenant_id=row.tenant_id,
        kind="budget" if is_budget else "price",
        object_id=row.mode if is_budget else row,  # type: ignore[union-attr]
        **more,
    )
