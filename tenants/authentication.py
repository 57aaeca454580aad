"""From an Authorization header to the tenant, mode and scopes it stands for.

A credential is looked up (`find_holder`), and remembered for a minute by this process.
Revoking a key, and whatever else makes the memory wrong, raises a number of the
tenant's, `Principal.keyring_version`, which one small query compares. Not for views
whose answer is confirmed by a transaction that compares it: there a remembered key can
never write, and the hot write path has no query at all.
"""

import hmac
import re
import time
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from lucid.api.addresses import client_address
from lucid.api.errors import ApiError, Code
from lucid.isolation import across_tenants, enter, working_for
from tenants.allowed_addresses import Network, may_come_from, networks
from tenants.events import Actor, ActorKind
from tenants.models import ApiKey, Tenant
from tenants.querysets import LAST_USE_RESOLUTION
from tenants.rate_limits import take
from tenants.scopes import KNOWN
from tenants.secrets import api_key_mac, current_pepper, prefix_of

MEMORY_LIMIT = 10_000  # keys; some 5 MB
NO_KEY = UUID(int=0)  # of a token, whose calls are counted as of no key
SLUG = re.compile(r"[a-z0-9-]{1,63}")
UUID_TEXT = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as proven by a credential."""

    tenant_id: UUID
    tenant_slug: str
    mode: str
    scopes: frozenset[str]
    api_key_id: UUID
    expires_at: datetime | None  # of a rotated key, also the end of the overlap
    keyring_version: int
    name: str  # a key's prefix, a token's subject
    key_limit: int | None = None  # requests per minute
    tenant_limit: int | None = None
    allowed: tuple[Network, ...] = ()  # any address where there are none
    kind: ActorKind = ActorKind.API_KEY

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def limits(self) -> dict[UUID, int]:
        """Return what its requests are counted for: the key, the tenant, or neither."""
        limits = {self.api_key_id: self.key_limit, self.tenant_id: self.tenant_limit}
        return {subject: limit for subject, limit in limits.items() if limit}


def credential(request: Request) -> str | None:
    """Return the one credential that the request carries, None without any."""
    headers = request._request.META
    scheme, _, value = headers.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme and scheme.lower() not in {"bearer", "apikey"}:
        raise _unauthorized("Use `Authorization: Bearer <key>` or X-API-Key.")
    given = {value.strip(), headers.get("HTTP_X_API_KEY", "").strip()} - {""}
    if len(given) > 1:
        raise ApiError(
            Code.INVALID_REQUEST,
            "Two different credentials were given; send one.",
            details={"Authorization": ["Conflicts with X-API-Key."]},
        )
    return next(iter(given), None)


def _unauthorized(message: str) -> ApiError:
    return ApiError(Code.UNAUTHORIZED, message)


def _reject_ended(key: ApiKey) -> None:
    match key.state():
        case "revoked":
            raise ApiError(Code.KEY_REVOKED, "This API key was revoked.")
        case "rotated":
            raise ApiError(
                Code.KEY_ROTATED, "This API key was rotated; use its successor."
            )
        case "expired":
            raise ApiError(Code.KEY_EXPIRED, "This API key has expired.")
    _reject_suspended(key.tenant)


def _reject_suspended(tenant: Tenant) -> None:
    if tenant.status == Tenant.Status.SUSPENDED:
        raise ApiError(Code.TENANT_SUSPENDED, "This tenant is suspended.")


def _reject_elsewhere(principal: Principal, address: str | None) -> None:
    if principal.allowed and not may_come_from(principal.allowed, address):
        raise ApiError(
            Code.ADDRESS_NOT_ALLOWED,
            f"This API key may not be used from {address or 'an unknown address'}.",
        )


def look_up(text: str, address: str | None = None) -> Principal:
    """Return the holder of an API key, as the database knows it now.

    Raises ApiError 401 or 403. Unknown and known keys cost the same, and so does what
    is no key at all: one query, one MAC, one constant-time comparison.
    """
    prefix = prefix_of(text) or ""  # of which there is none
    with across_tenants():  # whose it is shows when it is found
        key = ApiKey.objects.select_related("tenant").filter(prefix=prefix).first()
    mac = api_key_mac(text, key.pepper_id if key else current_pepper())
    if not hmac.compare_digest(mac, bytes(key.mac) if key else bytes(32)) or not key:
        raise _unauthorized("No such API key.")
    _reject_ended(key)
    principal = Principal(
        tenant_id=key.tenant_id,
        tenant_slug=key.tenant.slug,
        mode=key.mode,
        scopes=frozenset(key.scopes),
        api_key_id=key.pk,
        expires_at=key.ends_at,
        keyring_version=key.tenant.keyring_version,
        name=key.prefix,
        key_limit=key.requests_per_minute,
        tenant_limit=key.tenant.requests_per_minute,
        allowed=networks(key.allowed_addresses),
    )
    _reject_elsewhere(principal, address)
    _note_use(key, text, address)
    return principal


def _note_use(key: ApiKey, text: str, address: str | None) -> None:
    used_before = timezone.now() - LAST_USE_RESOLUTION
    with working_for(key.tenant_id):
        if key.last_used_at is None or key.last_used_at < used_before:
            ApiKey.objects.touch(key.pk, address)
        if key.pepper_id != current_pepper():
            ApiKey.objects.renew_mac(key, text)


def look_up_token(text: str) -> Principal:
    """Return whom a token stands for. Raises ApiError 401, 403 or 503.

    It costs a signature's check, and one query.
    """
    if not settings.LUCID_JWT.algorithm:
        raise _invalid_token("This token is not valid here.")
    from tenants.key_sources import NoKeys  # these cost 22 MB
    from tenants.tokens import InvalidToken, read_token

    try:
        claims = read_token(text)
    except InvalidToken as error:
        raise _invalid_token(str(error)) from None
    except NoKeys:
        raise ApiError(
            Code.UNAVAILABLE, "The keys that tokens are checked with cannot be had now."
        ) from None
    tenant = _tenant_named(claims.tenant)
    _reject_suspended(tenant)
    return Principal(
        tenant_id=tenant.pk,
        tenant_slug=tenant.slug,
        mode=claims.mode,
        scopes=frozenset(claims.scope.split(" ")) & KNOWN,
        api_key_id=NO_KEY,
        expires_at=claims.expires_at,
        keyring_version=tenant.keyring_version,
        name=claims.sub,
        tenant_limit=tenant.requests_per_minute,
        kind=ActorKind.TOKEN,
    )


def _invalid_token(message: str) -> ApiError:
    return ApiError(Code.TOKEN_INVALID, message)


def _tenant_named(claim: Any) -> Tenant:
    """Return the tenant of that UUID or slug; one error says that there is none."""
    name = claim if isinstance(claim, str) else ""
    tenant = None
    with across_tenants():
        if UUID_TEXT.fullmatch(name):
            tenant = Tenant.objects.filter(pk=name).first()
        elif SLUG.fullmatch(name):
            tenant = Tenant.objects.filter(slug=name).first()
    if tenant is None:
        raise _invalid_token("The token's tenant claim names no tenant here.")
    return tenant


def find_holder(text: str, address: str | None = None) -> Principal:
    """Return the holder of a key or token, as it is known now."""
    return look_up(text, address) if text.startswith("lk_") else look_up_token(text)


def _check_tenant_header(request: Request, principal: Principal) -> None:
    given = request._request.META.get("HTTP_X_TENANT_ID", "").strip()
    if not given:
        if settings.LUCID_REQUIRE_TENANT_HEADER:
            raise ApiError(Code.TENANT_REQUIRED, "Send X-Tenant-ID.")
    elif given.lower() not in (str(principal.tenant_id), principal.tenant_slug):
        raise ApiError(
            Code.TENANT_MISMATCH, "X-Tenant-ID names another tenant than the key."
        )


class ApiKeyAuthentication(BaseAuthentication):
    """`from_memory` for a view whose success a transaction confirms, see above."""

    def __init__(self, *, from_memory: bool = False) -> None:
        self._from_memory = from_memory

    def authenticate(self, request: Request) -> tuple[Principal, Principal] | None:
        text = credential(request)
        if text is None:
            return None
        address = client_address(request._request)
        principal, is_remembered = _find(text, address)
        _check_tenant_header(request, principal)
        if principal.limits:
            principal = _count(request, principal, text, address)
        elif is_remembered and not self._from_memory:
            version = _version_of(principal.tenant_id)
            principal = _confirm(principal, version, text, address)
        enter(principal.tenant_id)
        return principal, principal

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="lucid"'


# SHA-256 of the key -> (principal, time.monotonic() of the look-up). One whole entry
# is replaced at a time, so threads need no lock.
_memory: dict[bytes, tuple[Principal, float]] = {}


def _find(text: str, address: str | None) -> tuple[Principal, bool]:
    """Return a credential's holder, and whether memory knew, which is a minute old at
    most. Else it was looked up this moment.
    """
    found = _memory.get(sha256(text.encode()).digest())
    if found and _is_fresh(*found):
        _reject_elsewhere(found[0], address)
        return found[0], True
    return _remember(text, address), False


def recall(text: str, address: str | None = None) -> Principal:
    """Return a credential's holder, from memory if it was looked up this minute."""
    return _find(text, address)[0]


def _confirm(
    principal: Principal, version: int | None, text: str, address: str | None
) -> Principal:
    """Return the holder as the database knows it now, of whose tenant the number is.

    What is remembered is right for as long as the number is the one that it was read
    at: asking for that costs a third of looking a key up.
    """
    if version == principal.keyring_version:
        return principal
    return _remember(text, address)


def _count(
    request: Request, principal: Principal, text: str, address: str | None
) -> Principal:
    """Count the request against its limits, and confirm its holder on the way.

    Raises the 429.
    """
    allowance, version = take(principal.tenant_id, principal.limits)
    confirmed = _confirm(principal, version, text, address)
    if confirmed.limits != principal.limits:  # they were changed this minute
        if not confirmed.limits:
            return confirmed
        allowance, _ = take(confirmed.tenant_id, confirmed.limits)
    request._request.allowance = allowance  # type: ignore[attr-defined]
    allowance.check()
    return confirmed


def _version_of(tenant_id: UUID) -> int | None:
    is_native = connection.features.has_native_uuid_field
    with working_for(tenant_id), connection.cursor() as cursor:
        cursor.execute(
            "SELECT keyring_version FROM tenants_tenant WHERE id = %s",
            [tenant_id if is_native else tenant_id.hex],
        )
        row = cursor.fetchone()
    return row and int(row[0])


def refresh(request: Request) -> Principal:
    """Look the request's key or token up again; raises ApiError when it has ended."""
    return _remember(credential(request) or "", client_address(request._request))


def _remember(text: str, address: str | None) -> Principal:
    digest = sha256(text.encode()).digest()
    _memory.pop(digest, None)
    principal = find_holder(text, address)
    if len(_memory) >= MEMORY_LIMIT:
        _memory.clear()
    _memory[digest] = principal, time.monotonic()
    return principal


def _is_fresh(principal: Principal, since: float) -> bool:
    # Looking up once a minute also keeps the key's last use current.
    if time.monotonic() - since > LAST_USE_RESOLUTION.total_seconds():
        return False
    return principal.expires_at is None or principal.expires_at > timezone.now()


def acting(request: Request) -> Actor:
    """Return who is to be named in the access events of a request."""
    principal: Principal = request.auth  # type: ignore[assignment]
    is_key = principal.kind == ActorKind.API_KEY
    return Actor(
        principal.kind,
        str(principal.api_key_id) if is_key else principal.name,
        principal.name,
        client_address(request._request),
        str(getattr(request._request, "request_id", "")),
    )
