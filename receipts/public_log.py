"""Whether anybody may read a tenant's checkpoints and hashes, without a key."""

from tenants.events import Actor
from tenants.models import Tenant
from tenants.tenant_changes import set_option

PUBLIC_SETTING = "public_log"


def is_public(tenant: Tenant) -> bool:
    return bool(tenant.settings.get(PUBLIC_SETTING))


def set_public(actor: Actor, tenant: Tenant, public: bool, reason: str) -> bool:
    """Publish the logs of both modes, or withdraw them; return whether that is new."""
    action = "log.published" if public else "log.withdrawn"
    return set_option(actor, tenant, PUBLIC_SETTING, public, action, reason)
