"""What the management commands of this project share."""

import json
import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lucid.isolation import across_tenants
from tenants.allowed_addresses import network
from tenants.models import ApiKey, Membership, Tenant, User
from tenants.scopes import KNOWN

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Read `90d`, `24h`, `30m` or `45s`."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no duration such as 90d, 24h or 30m")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def overlap(text: str) -> timedelta:
    """Read a duration, or `0s`."""
    return timedelta(0) if re.fullmatch("0[smhd]?", text) else duration(text)


def address_range(text: str) -> str:
    try:
        return str(network(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def rate(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ArgumentTypeError(f"{text!r} is no number from 1 to 999999999")
    return int(text)


def scope(text: str) -> str:
    if text not in KNOWN:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(sorted(KNOWN))}")
    return text


def key_name(text: str) -> str:
    if not 1 <= len(text) <= 200:
        raise ArgumentTypeError("a name has 1 to 200 characters")
    return text


class JsonCommand(BaseCommand):
    """A command whose `--json` prints one JSON object and nothing else."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object and nothing else"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        with across_tenants():  # an operator's act
            return super().execute(*args, **options)

    def report(self, data: dict[str, Any], text: str, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(data, default=str) if as_json else text)


def find_tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant {slug!r}.")
    return tenant


def find_user(email: str) -> User:
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        raise CommandError(f"There is no user {email!r}.")
    return user


def find_api_key(prefix: str) -> ApiKey:
    key = ApiKey.objects.select_related("tenant").filter(prefix=prefix).first()
    if key is None:
        raise CommandError(f"There is no API key with the prefix {prefix!r}.")
    return key


def full_clean(instance: Any) -> None:
    """Validate a model instance, a CommandError naming each bad field."""
    try:
        instance.full_clean()
    except ValidationError as error:
        complaints = [
            f"{field}: {' '.join(messages)}"
            for field, messages in error.message_dict.items()
        ]
        raise CommandError("\n".join(complaints)) from None


def describe(key: ApiKey) -> dict[str, Any]:
    """Return what may be told of a key: everything but the secret."""
    return {
        "id": key.pk,
        "prefix": key.prefix,
        "tenant": key.tenant.slug,
        "name": key.name,
        "mode": key.mode,
        "scopes": key.scopes,
        "state": key.state(),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
        "rotated_to": key.rotated_to_id,
        "overlap_ends_at": key.overlap_ends_at and key.overlap_ends_at.isoformat(),
        "allowed_addresses": key.allowed_addresses,
        "requests_per_minute": key.requests_per_minute,
        "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
        "last_used_from": key.last_used_from,
    }


def describe_member(membership: Membership) -> dict[str, Any]:
    return {
        "tenant": membership.tenant.slug,
        "email": membership.user.email,
        "role": membership.role,
        "since": membership.created_at.isoformat(),
    }
