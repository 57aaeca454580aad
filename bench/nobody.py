"""Who `bench.unguarded` believes everybody to be.

A module of its own: views name it when they are imported, which Django's set-up may do.
"""

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rest_framework.authentication import BaseAuthentication

from lucid import isolation

if TYPE_CHECKING:
    from tenants.authentication import Principal

_principals: "list[Principal]" = []


def _principal() -> "Principal":
    # Models, which are there by the first request.
    from tenants.authentication import Principal
    from tenants.models import Tenant

    with isolation.across_tenants():
        tenant = Tenant.objects.get(slug=os.environ["BENCH_TENANT"])
    return Principal(
        tenant_id=tenant.pk,
        tenant_slug=tenant.slug,
        mode="live",
        scopes=frozenset({"*"}),
        api_key_id=uuid4(),
        expires_at=None,
        keyring_version=tenant.keyring_version,
        name="bench",
    )


class Nobody(BaseAuthentication):
    """Believes whoever comes to be the tenant of BENCH_TENANT."""

    def authenticate(self, request: Any) -> "tuple[Principal, Principal]":
        if not _principals:
            _principals.append(_principal())
        isolation.enter(_principals[0].tenant_id)
        return _principals[0], _principals[0]
