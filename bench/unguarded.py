"""Lucid without its guards: what the bench compares the guards' cost with.

The very views of Lucid, served as `bench.unguarded:application` under the tables'
owner, by Django's own PostgreSQL backend: no key is looked up, no scope checked, no
request counted, and the database is told of no tenant. Which tenant answers is in
BENCH_TENANT, as the slug of one.
"""

import os
from typing import Any
from uuid import uuid4

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lucid.settings")
settings.DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
settings.REST_FRAMEWORK |= {
    "DEFAULT_AUTHENTICATION_CLASSES": ["bench.unguarded.Nobody"],
    "DEFAULT_PERMISSION_CLASSES": [],
}
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402  it needs the settings
from rest_framework.authentication import BaseAuthentication  # noqa: E402

from lucid import isolation  # noqa: E402
from tenants.authentication import Principal  # noqa: E402
from tenants.models import Tenant  # noqa: E402

_principals: list[Principal] = []


def _principal() -> Principal:
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

    def authenticate(self, request: Any) -> tuple[Principal, Principal]:
        if not _principals:
            _principals.append(_principal())
        isolation.enter(_principals[0].tenant_id)
        return _principals[0], _principals[0]


application = WSGIHandler()
