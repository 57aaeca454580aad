"""Ed25519 (RFC 8032) as libsodium does it: strict, one verdict for every input."""

from __future__ import annotations

import base64
import hashlib
import secrets

from nacl import bindings
from nacl.exceptions import BadSignatureError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


class InvalidPublicKey(ValueError):
    """Not a public key whose signatures mean anything."""


def generate_seed() -> bytes:
    """Return 32 bytes from the system's random source."""
    return secrets.token_bytes(SEED_BYTES)


class Signer:
    """Signs with the key of a 32-byte seed; raises ValueError for another length."""

    __slots__ = ("_secret_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes")
        self.public_key: bytes
        self.public_key, self._secret_key = bindings.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of the message (RFC 8032 section 5.1.6)."""
        return bindings.crypto_sign(message, self._secret_key)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"<Signer {thumbprint(self.public_key)}>"


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether the signature holds (RFC 8032 section 5.1.7, strict).

    False for wrong lengths, S not below the group order, and for low-order or
    non-canonical public keys and R.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def check_public_key(public_key: bytes) -> None:
    """Raise InvalidPublicKey unless it is the canonical form of a point of the
    prime-order subgroup: 32 bytes, on the curve, not of low order.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise InvalidPublicKey(f"a public key has {PUBLIC_KEY_BYTES} bytes")
    if not bindings.crypto_core_ed25519_is_valid_point(public_key):
        raise InvalidPublicKey("not a canonical point of the prime-order subgroup")


def thumbprint(public_key: bytes) -> str:
    """Return the JWK thumbprint (RFC 7638, RFC 8037), our `kid`: 43 characters."""
    x = _base64url(public_key)
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'
    return _base64url(hashlib.sha256(jwk.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
