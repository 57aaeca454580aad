"""Whose data the code that runs now may touch: the first two walls of isolation.

Every thread works for one tenant, for several (a batch of the ledger), for all (an
operator), or for nobody, which is how it begins. Managers of tenant-owned models
restrict their rows to the tenants worked for, and raise NoTenant when there are none
(`TenantOwned`). On PostgreSQL the same is told to the database with every statement
(`tenants.postgresql`), whose row-level security then hides all other rows, should the
code above ever ask for them.

No model here: the database backend needs this before there are any.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

ALL = "*"

Tenants = frozenset[UUID] | str | None  # ALL is the one string

_tenants: ContextVar[Tenants] = ContextVar("tenants", default=None)


class NoTenant(RuntimeError):
    """Rows of tenants were asked for by code that works for none."""


def current() -> Tenants:
    return _tenants.get()


def enter(*tenant_ids: UUID) -> None:
    """Work for these tenants from here on, until whoever called us sets it back."""
    _tenants.set(frozenset(tenant_ids))


def require(tenant_id: UUID) -> None:
    """Raise NoTenant unless the code works for this tenant."""
    tenants = current()
    if tenants != ALL and tenant_id not in (tenants or ()):
        raise NoTenant(f"Rows of tenant {tenant_id} were asked for by others.")


@contextmanager
def working_for(*tenant_ids: UUID) -> Iterator[None]:
    """Work for these tenants within the block; for nobody without any."""
    with _set(frozenset(tenant_ids) or None):
        yield


@contextmanager
def across_tenants() -> Iterator[None]:
    """Work for all tenants: an operator's act, or finding whose a credential is."""
    with _set(ALL):
        yield


@contextmanager
def _set(tenants: Tenants) -> Iterator[None]:
    token = _tenants.set(tenants)
    try:
        yield
    finally:
        _tenants.reset(token)


def as_setting(tenants: Tenants) -> str:
    """Return what PostgreSQL is told: ids with commas between, ALL, or nothing."""
    if isinstance(tenants, str):
        return tenants
    return ",".join(map(str, sorted(tenants or ())))
