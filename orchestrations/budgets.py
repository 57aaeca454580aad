"""Monthly budgets: what a tenant may spend, remembered by each worker."""

from uuid import UUID

from orchestrations.models import Budget
from orchestrations.money import to_nanocents

MEMORY_LIMIT = 10_000  # tenants and modes

_memory: dict[tuple[UUID, str], tuple[int, int | None]] = {}


def month_limit(tenant_id: UUID, mode: str, version: int) -> int | None:
    """Return the limit in nanocents, None without one.

    What is remembered holds for the `keyring_version` it was read at, which the
    ledger compares inside its transaction.
    """
    known = _memory.get((tenant_id, mode))
    if known and known[0] == version:
        return known[1]
    budget = Budget.objects.filter(tenant_id=tenant_id, mode=mode).first()
    limit = None if budget is None else to_nanocents(budget.limit)
    if len(_memory) >= MEMORY_LIMIT:
        _memory.clear()
    _memory[tenant_id, mode] = version, limit
    return limit
