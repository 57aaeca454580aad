"""Every way for a person to log in: throttled, and told of in access events."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from lucid.api.addresses import client_address
from tenants import events, throttle
from tenants.models import User


class ThrottledBackend(ModelBackend):
    """Django's own check of a password, for those who may try."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **others: Any,
    ) -> User | None:
        email = username or others.get(User.USERNAME_FIELD)
        if not email or password is None:
            return None
        attempt = throttle.begin(email, client_address(request) if request else None)
        if attempt.refused:
            raise PermissionDenied  # no other backend is asked
        user = super().authenticate(request, email, password)
        if user is None:
            _record_failure(request or HttpRequest(), email, attempt.locked)
            return None
        attempt.succeeded()
        return user

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **others: Any,
    ) -> User | None:
        check = sync_to_async(self.authenticate)  # Django's own would not be throttled
        return await check(request, username, password, **others)


def _record_failure(request: HttpRequest, email: str, locked: bool) -> None:
    """Name the account where there is one: what else was typed may be a password."""
    known = User.objects.filter(email=email.lower()).first()
    for action in ["login.failed", *(["login.locked"] if locked else [])]:
        events.record(
            events.nobody(request),
            action,
            tenant_id=None,
            kind="user",
            object_id=known.email if known else "",
        )


@receiver(user_logged_in)
def record_login(request: HttpRequest, user: User, **others: Any) -> None:
    _record(request, "login.succeeded", user)


@receiver(user_logged_out)
def record_logout(request: HttpRequest, user: User | None, **others: Any) -> None:
    if user:
        _record(request, "logout", user)


def _record(request: HttpRequest, action: str, user: User) -> None:
    events.record(
        events.person(request, user),
        action,
        tenant_id=None,
        kind="user",
        object_id=user.email,
    )
