"""People who are logged in, and those who are not."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.hashers import make_password
from django.test import Client

from tenants.models import AccessEvent, Membership, Tenant, User

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    user: User
    client: Client = field(default_factory=Client)

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def post(self, path: str, data: Any = None, **options: Any) -> Any:
        return self.client.post(path, data, **options)


def new_user(password: str | None = None, **fields: Any) -> User:
    # A fast hash: the real one takes a third of a second.
    hashed = make_password(password, hasher="md5") if password else "!"
    email = f"{uuid.uuid4().hex[:12]}@example.com"
    return User.objects.create(email=email, password=hashed, **fields)


def new_member(tenant: Tenant, role: str, password: str | None = None) -> Person:
    person = Person(new_user(password))
    Membership.objects.create(tenant=tenant, user=person.user, role=role)
    return person


def new_person(tenant: Tenant, role: str) -> Person:
    """Make somebody with a role in a tenant, who is logged in."""
    person = new_member(tenant, role)
    person.client.force_login(person.user)
    return person


def events_of(tenant: Tenant) -> list[AccessEvent]:
    return list(AccessEvent.objects.filter(tenant=tenant).order_by("id"))


def events_about(user: User) -> list[str]:
    """The actions of the installation's events that name a user, in their order."""
    rows = AccessEvent.objects.filter(tenant=None, object_id=user.email)
    return list(rows.order_by("id").values_list("action", flat=True))


def after(event: AccessEvent) -> dict[str, Any]:
    assert isinstance(event.after, dict)
    return event.after


def before(event: AccessEvent) -> dict[str, Any]:
    assert isinstance(event.before, dict)
    return event.before
