"""What people may do in a tenant, by role."""

from enum import StrEnum

from django.db.models import TextChoices


class Role(TextChoices):
    AUDITOR = "auditor"
    ANALYST = "analyst"
    ADMIN = "admin"


class Right(StrEnum):
    """Each value completes the sentence "You may …"."""

    READ_RECEIPTS = "read receipts"
    VERIFY_RECEIPTS = "verify receipts"
    EXPORT = "export receipts and their evidence"
    READ_RUNS = "read orchestrations and their calls"
    READ_COSTS = "read what was spent, and on what"
    READ_EVENTS = "read who did what in this tenant"
    READ_MEMBERS = "see who belongs to this tenant"
    MANAGE_KEYS = "issue, rotate and revoke keys"
    MANAGE_PRICES = "set prices and budgets"
    MANAGE_PROVIDERS = "set providers and their credentials"
    MANAGE_SETTINGS = "change this tenant's name and limits, and publish its log"
    MANAGE_MEMBERS = "add and remove members, and change their roles"


_ANALYST = frozenset({Right.READ_RUNS, Right.READ_COSTS, Right.READ_MEMBERS})
_AUDITOR = _ANALYST | {
    Right.READ_RECEIPTS,
    Right.VERIFY_RECEIPTS,
    Right.EXPORT,
    Right.READ_EVENTS,
}
RIGHTS: dict[str, frozenset[Right]] = {
    Role.ANALYST: _ANALYST,
    Role.AUDITOR: _AUDITOR,
    Role.ADMIN: frozenset(Right),
}


def who_may(right: Right) -> list[str]:
    """Return the roles that have a right, the narrowest first."""
    return [role for role, rights in RIGHTS.items() if right in rights]
