"""Idempotency-Key: a repeated POST gets the first answer again (WIRE section 1)."""

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid

ACCEPTABLE = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's hold on its Idempotency-Key, within one tenant and mode."""

    tenant_id: UUID
    mode: str
    endpoint: str
    key: str
    fingerprint: bytes  # SHA-256 of the request body

    @property
    def identity(self) -> tuple[UUID, str, str, str]:
        return self.tenant_id, self.mode, self.endpoint, self.key


def claim_of(request: Request, tenant_id: UUID, mode: str) -> Claim | None:
    """Return the claim that the request's header makes, if it has one."""
    key = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not ACCEPTABLE.fullmatch(key):
        raise invalid({"Idempotency-Key": ["Expected 1-255 printable characters."]})
    endpoint = f"{request.method} {request.path}"
    fingerprint = hashlib.sha256(request.body).digest()
    return Claim(tenant_id, mode, endpoint, key, fingerprint)


def conflict() -> ApiError:
    return ApiError(
        Code.IDEMPOTENCY_CONFLICT,
        "This Idempotency-Key was used with another request body.",
        details={"Idempotency-Key": ["Used with another request body."]},
    )
