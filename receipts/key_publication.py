"""The public halves of a log's keys, in the forms that verifiers read."""

import base64
from typing import Any
from uuid import UUID

from receipts.key_set import KeySet, ReceiptKey
from receipts.keyring import Keyring
from receipts.models import Log, SigningKey
from receipts.note import VerifierKey

Purpose = SigningKey.Purpose


def key_set_of(log: Log) -> KeySet:
    """Return the receipt keys of a log, old ones included, as of its size."""
    keys = SigningKey.objects.filter(
        tenant_id=log.tenant_id, mode=log.mode, purpose=Purpose.RECEIPT
    )
    return KeySet(log.origin, log.size, tuple(map(_receipt_key, keys.order_by("pk"))))


def _receipt_key(key: SigningKey) -> ReceiptKey:
    return ReceiptKey(
        key.kid,
        bytes(key.public_key),
        *key.published_range(),
        key.status,  # type: ignore[arg-type]  # the same words
    )


def describe(key: SigningKey) -> dict[str, Any]:
    """Return what operators are told of a key: everything but the seed."""
    return {
        "kid": key.kid,
        "tenant": key.tenant.slug,
        "mode": key.mode,
        "purpose": key.purpose,
        "status": key.status,
        "first_index": key.first_index,
        "last_index": key.last_index,
        "overlap_until": key.overlap_until and key.overlap_until.isoformat(),
        "master_key_id": key.master_key_id,
        "created_at": key.created_at.isoformat(),
    }


def signed_key_set(log: Log, keyring: Keyring) -> str:
    """Return the note that tells an offline verifier which receipt keys count."""
    return keyring.sign_note(key_set_of(log).text())


def jwks(tenant_id: UUID, mode: str | None) -> dict[str, Any]:
    """Return a tenant's keys as a JWKS (RFC 7517, RFC 8037), of one mode or both."""
    logs = Log.objects.filter(tenant_id=tenant_id)
    keys = SigningKey.objects.filter(tenant_id=tenant_id)
    if mode:
        keys = keys.filter(mode=mode)
    origins = dict(logs.values_list("mode", "origin"))
    return {"keys": [_jwk(key, origins[key.mode]) for key in keys.order_by("pk")]}


def _jwk(key: SigningKey, origin: str) -> dict[str, Any]:
    public_key = bytes(key.public_key)
    first_index, last_index = key.published_range()
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": key.kid,
        "x": base64.urlsafe_b64encode(public_key).decode().rstrip("="),
        "purpose": key.purpose,
        "mode": key.mode,
        "origin": origin,
        "status": key.status,
        "first_index": first_index,
        "last_index": last_index,
    }
    if key.status == SigningKey.Status.RETIRING and key.overlap_until:
        jwk["overlap_until"] = int(key.overlap_until.timestamp())
    if key.purpose == Purpose.CHECKPOINT:
        jwk["vkey"] = str(VerifierKey.of(origin, public_key))
    return jwk
