"""What a credential may hand on: no more than it has itself.

So a key makes keys, and takes over the rights of one by rotating it, within its own
scopes, mode, lifetime, addresses and rate. A token is bound by scopes and mode alone:
it lives for minutes, and who issues it vouches for what it is used for. A person who
manages a tenant's keys may hand on any scope of it, as a key with `*` may.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self, TypeVar

from django.utils import timezone

from lucid.api.errors import ApiError, Code
from tenants.allowed_addresses import lie_within, networks
from tenants.api_keys import create_key
from tenants.authentication import Principal
from tenants.claims import NewApiKey
from tenants.events import Actor
from tenants.models import ApiKey, Tenant
from tenants.scopes import allows

Limit = TypeVar("Limit", datetime, int)


@dataclass(frozen=True, slots=True)
class Terms:
    scopes: Iterable[str]
    mode: str
    expires_at: datetime | None = None
    allowed_addresses: Iterable[str] = ()
    requests_per_minute: int | None = None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(
            key.scopes,
            key.mode,
            key.expires_at,
            key.allowed_addresses,
            key.requests_per_minute,
        )

    @classmethod
    def of_holder(cls, principal: Principal) -> Self:
        """Return what a caller has to give."""
        key = ApiKey.objects.filter(pk=principal.api_key_id).first()
        return cls.of(key) if key else cls(principal.scopes, principal.mode)

    @classmethod
    def of_manager(cls, mode: str) -> Self:
        """Return what a person with Right.MANAGE_KEYS has to give."""
        return cls(["*"], mode)

    def granted(self, claims: NewApiKey) -> "Terms":
        """Return what is asked for, if we may give it; raises the 400 or the 403."""
        claims.check()
        terms = self._narrowed(claims)
        self.give(terms)
        return terms

    def _narrowed(self, claims: NewApiKey) -> "Terms":
        """Return what is asked for; what is left out is as we have it."""
        seconds = claims.expires_in_seconds
        expires_at = timezone.now() + timedelta(seconds=seconds) if seconds else None
        return Terms(
            claims.scopes,
            claims.mode or self.mode,
            expires_at or self.expires_at,
            claims.allowed_addresses or self.allowed_addresses,
            claims.requests_per_minute or self.requests_per_minute,
        )

    def give(self, asked: "Terms") -> None:
        """Raise the 403 that names all that is asked for beyond these terms."""
        if details := dict(self._excess(asked)):
            raise ApiError(
                Code.INSUFFICIENT_SCOPE,
                "A credential hands on no more than it has:"
                f" {', '.join(details)}, see details.",
                details=details,
            )

    def _excess(self, asked: "Terms") -> Iterator[tuple[str, list[str]]]:
        if lacking := [it for it in asked.scopes if not allows(self.scopes, it)]:
            yield "scopes", lacking
        if asked.mode != self.mode:
            yield "mode", [f"This is a {self.mode} credential."]
        if _is_more(asked.expires_at, self.expires_at):
            yield "expires_at", ["The key that asks expires before this."]
        mine, theirs = (
            networks(self.allowed_addresses),
            networks(asked.allowed_addresses),
        )
        if mine and not (theirs and lie_within(theirs, mine)):
            yield "allowed_addresses", list(self.allowed_addresses)
        if _is_more(asked.requests_per_minute, self.requests_per_minute):
            yield (
                "requests_per_minute",
                [f"The key that asks has {self.requests_per_minute}."],
            )


def _is_more(asked: Limit | None, mine: Limit | None) -> bool:
    """Compare limits, of which None is none."""
    return mine is not None and (asked is None or asked > mine)


def issue(actor: Actor, tenant: Tenant, name: str, terms: Terms) -> tuple[ApiKey, str]:
    """Make a key on terms that were granted; return it with its secret text."""
    return create_key(
        actor,
        tenant,
        name,
        list(terms.scopes),
        terms.mode,
        expires_at=terms.expires_at,
        allowed_addresses=terms.allowed_addresses,
        requests_per_minute=terms.requests_per_minute,
    )
