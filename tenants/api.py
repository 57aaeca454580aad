"""The API of API keys (WIRE section 1).

A key's secret is in the answer that makes it, and nowhere else: not even in what is
kept for a repeat of the request with its Idempotency-Key, as a stolen database must
yield no key.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, not_found
from lucid.api.idempotency import claim_of
from lucid.api.openapi import describe
from lucid.api.pagination import Page, cut, decode_place, encode_place
from lucid.api.parsing import check, check_query
from lucid.api.rendering import Answer
from lucid.api.repeats import Made, once
from lucid.api.views import ApiView
from tenants import examples
from tenants.api_keys import revoke_key, rotate_key
from tenants.authentication import Principal, acting
from tenants.claims import NewApiKey, Revocation, Rotation
from tenants.granting import Terms, issue
from tenants.models import ApiKey, NotRotatable, Tenant
from tenants.querysets import ApiKeyQuerySet

NOT_SHOWN = (
    "The key was made by an earlier request with this Idempotency-Key. Its secret is"
    " not kept, and cannot be shown again: rotate or revoke it if you have not got it."
)
MAKE_ERRORS = [
    Code.INVALID_REQUEST,
    Code.CONFLICT,
    Code.IDEMPOTENCY_CONFLICT,
    Code.PAYLOAD_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
]


class ApiKeysView(ApiView):
    @property
    def principal(self) -> Principal:
        principal: Principal = self.request.auth  # type: ignore[assignment]
        return principal

    def keys(self) -> ApiKeyQuerySet:
        """Return the keys of the caller's tenant and mode."""
        principal = self.principal
        return ApiKey.objects.filter(
            tenant_id=principal.tenant_id, mode=principal.mode
        ).select_related("tenant")

    def key(self, name: str) -> ApiKey:
        key = self.keys().filter(pk=_uuid(name)).first()
        if key is None:
            raise not_found("API key")
        return key

    def json_or_nothing(self, request: Request) -> Any:
        environ = request._request.META
        is_empty = not environ.get("CONTENT_LENGTH", "").strip("0 ")
        if is_empty and "HTTP_TRANSFER_ENCODING" not in environ:
            return {}
        return self.json(request)

    def make(self, request: Request, make: Any) -> Answer:
        """Answer with what `make` makes, as of `_made`."""
        principal = self.principal
        answer = once(claim_of(request, principal.tenant_id, principal.mode), make)
        answer["Cache-Control"] = "no-store"
        return answer


def _uuid(name: str) -> UUID:
    try:
        return UUID(name)
    except ValueError:
        raise not_found("API key") from None


def _made(key: ApiKey, text: str, **more: Any) -> Made:
    told = {"success": True, "api_key": key_json(key), "key": text, **more}
    return Made(201, told, told | {"key": None, "message": NOT_SHOWN})


class ApiKeyList(ApiKeysView):
    scopes = {"GET": "keys:read", "POST": "keys:write"}

    @describe(
        "List API keys, newest first",
        query=Page,
        answer=examples.API_KEYS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, Page)
        after = None if query.cursor is None else decode_place(query.cursor)
        page, more = cut(self.keys().newest(after), query.limit)
        last = page[-1] if more else None
        return Answer(
            {
                "success": True,
                "api_keys": [key_json(key) for key in page],
                "next_cursor": last and encode_place(last.created_at, last.pk),
            }
        )

    @describe(
        "Make an API key, within the rights of the key that asks",
        body=NewApiKey,
        answer=examples.MADE,
        errors=MAKE_ERRORS,
        idempotent=True,
        status=201,
    )
    def post(self, request: Request) -> Answer:
        claims = check(self.json(request), NewApiKey)
        terms = Terms.of_holder(self.principal).granted(claims)

        def make() -> Made:
            tenant = Tenant.objects.get(pk=self.principal.tenant_id)
            key, text = issue(acting(request), tenant, claims.name, terms)
            return _made(key, text)

        return self.make(request, make)


class ApiKeyDetail(ApiKeysView):
    scopes = {"GET": "keys:read"}

    @describe("One API key", answer=examples.ONE_API_KEY, errors=[Code.NOT_FOUND])
    def get(self, request: Request, name: str) -> Answer:
        return Answer({"success": True, "api_key": key_json(self.key(name))})


class ApiKeyRotation(ApiKeysView):
    scopes = {"POST": "keys:write"}

    @describe(
        "Make an API key's successor; both work during the overlap",
        body=Rotation,
        answer=examples.ROTATED,
        errors=[*MAKE_ERRORS, Code.NOT_FOUND],
        idempotent=True,
        status=201,
    )
    def post(self, request: Request, name: str) -> Answer:
        claims = check(self.json_or_nothing(request), Rotation)
        key = self.key(name)
        # Whoever gets the successor gets what it may do.
        Terms.of_holder(self.principal).give(Terms.of(key))

        def make() -> Made:
            try:
                successor, text = rotate_key(acting(request), key, claims.overlap)
            except NotRotatable as error:
                raise ApiError(Code.CONFLICT, str(error)) from None
            return _made(successor, text, rotated=key_json(key))

        return self.make(request, make)


class ApiKeyRevocation(ApiKeysView):
    scopes = {"POST": "keys:write"}

    @describe(
        "End an API key at once; to repeat it is harmless",
        body=Revocation,
        answer=examples.REVOKED,
        errors=[
            Code.INVALID_REQUEST,
            Code.NOT_FOUND,
            Code.PAYLOAD_TOO_LARGE,
            Code.UNSUPPORTED_MEDIA_TYPE,
        ],
    )
    def post(self, request: Request, name: str) -> Answer:
        claims = check(self.json_or_nothing(request), Revocation)
        key = self.key(name)
        revoke_key(acting(request), key, claims.reason)
        return Answer({"success": True, "api_key": key_json(key)})


def key_json(key: ApiKey) -> dict[str, Any]:
    """Return what may be told of a key: everything but the secret."""
    return {
        "id": str(key.pk),
        "prefix": key.prefix,
        "name": key.name,
        "mode": key.mode,
        "scopes": key.scopes,
        "state": key.state(),
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "rotated_to": str(key.rotated_to_id) if key.rotated_to_id else None,
        "overlap_ends_at": _iso(key.overlap_ends_at),
        "allowed_addresses": key.allowed_addresses,
        "requests_per_minute": key.requests_per_minute,
        "last_used_at": _iso(key.last_used_at),
        "last_used_from": key.last_used_from,
    }


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
