"""Tokens (JWT) of an installation with a shared secret: a good one, and bad ones."""

import secrets
import time
from collections.abc import Mapping

from tests.slow.server import Account
from tests.tenants.issuer import AUDIENCE, ISSUER, claims, token

VALID, EXPIRED, TAMPERED = "the valid token", "the expired token", "the tampered token"


def token_settings() -> dict[str, str]:
    return {
        "LUCID_JWT_ISSUER": ISSUER,
        "LUCID_JWT_AUDIENCE": AUDIENCE,
        "LUCID_JWT_ALGORITHM": "HS256",
        "LUCID_JWT_SECRET": secrets.token_urlsafe(48),
    }


def issue(account: Account, environment: Mapping[str, str]) -> dict[str, str]:
    """Return tokens by what they are; each has a signature of its own."""
    key = environment["LUCID_JWT_SECRET"]
    now = int(time.time())

    def signed(subject: str, expires_at: int, scope: str = "*") -> str:
        said = claims(account.slug, sub=subject, exp=expires_at, scope=scope)
        return token(said, "HS256", key=key)

    narrow = signed("mallory", now + 3600, "receipts:read").split(".")
    narrow[1] = signed("mallory", now + 3600).split(".")[1]  # the claims
    return {
        VALID: signed("alice", now + 3600),
        EXPIRED: signed("bob", now - 3600),
        TAMPERED: ".".join(narrow),
    }


def signature(token: str) -> str:
    """Return the part without which a token is worth nothing."""
    return token.rpartition(".")[2]
