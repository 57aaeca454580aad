"""Which pepper each API key depends on.

Only MACs are stored, so nobody can move a key to another pepper but its holder, by
using it (`tenants.authentication.look_up`). What is told here is how far that is.
"""

from dataclasses import dataclass, field

from django.conf import settings

from tenants.models import ApiKey
from tenants.secrets import current_pepper


@dataclass(slots=True)
class PepperUse:
    """The active keys under a pepper: all counted, those to be lost also listed."""

    pepper_id: str
    is_known: bool  # keys of an unknown one are refused already
    is_first: bool
    active_keys: int = 0
    would_die: list[ApiKey] = field(default_factory=list)


def pepper_uses() -> list[PepperUse]:
    """Return each pepper's use, in their order; then those that rows alone know."""
    uses = {
        pepper_id: PepperUse(pepper_id, True, pepper_id == current_pepper())
        for pepper_id in settings.LUCID_API_KEY_PEPPERS
    }
    for pepper_id, count in ApiKey.objects.active().counted_by_pepper():
        use = uses.setdefault(pepper_id, PepperUse(pepper_id, False, False))
        use.active_keys = count
    for use in uses.values():
        if use.active_keys and not use.is_first:
            use.would_die = _keys_under(use.pepper_id)
    return list(uses.values())


def _keys_under(pepper_id: str) -> list[ApiKey]:
    keys = ApiKey.objects.active().filter(pepper_id=pepper_id)
    return list(keys.select_related("tenant").order_by("tenant__slug", "created_at"))
