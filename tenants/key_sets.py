"""The keys that tokens (JWT) are checked with: from JWKS, PEM, or a shared secret.

An algorithm is fixed by configuration, and a key is of use with that one alone. So
no public key is ever taken for a secret. No Django here; PyJWT costs 22 MB with what
it needs, and is imported by those who have tokens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.algorithms import Algorithm
from jwt.exceptions import PyJWTError

# Algorithm: the type of key that it needs, and the curve.
NEEDS = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
}
ALGORITHMS = (*NEEDS, "HS256")
LEAST_SECRET = 32  # bytes, as RFC 7518 section 3.2 has it
LEAST_RSA = 2048  # bits, section 3.3
MOST_KEYS = 100


class UnusableKey(ValueError):
    """A key that is none, or not for this; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    kid: str | None
    value: Any  # what PyJWT takes for the algorithm


def choose(keys: Sequence[TokenKey], kid: str | None) -> TokenKey | None:
    """Return the key that a token with this kid is to be checked with, if one is.

    A token without, and a key without, are fine where there is one key only.
    """
    if len(keys) == 1 and None in {kid, keys[0].kid}:
        return keys[0]
    named = [key for key in keys if key.kid == kid]
    return named[0] if kid is not None and len(named) == 1 else None


def secret_key(text: str) -> TokenKey:
    secret = text.encode()
    if len(secret) < LEAST_SECRET:
        raise UnusableKey(f"has fewer than {LEAST_SECRET} bytes")
    try:
        return TokenKey(None, _algorithm("HS256").prepare_key(secret))
    except PyJWTError:
        raise UnusableKey("is a public key, and no secret") from None


def read_keys(text: str, algorithm: str) -> list[TokenKey]:
    """Read a JWKS, or one public key as PEM; every key has to be of use."""
    if not text.lstrip().startswith("{"):
        return [_token_key(_jwk_of_pem(text, algorithm), algorithm)]
    keys = [_token_key(jwk, algorithm) for jwk in _members(text)]
    kids = {key.kid for key in keys}
    if len(keys) > 1 and (None in kids or len(kids) < len(keys)):
        raise UnusableKey("has several keys, which then need a kid each, all different")
    return keys


def read_foreign_keys(text: str, algorithm: str) -> list[TokenKey]:
    """Read a JWKS that others publish, also for other uses: those keys are left out."""
    keys, complaint = [], "it is empty"
    for jwk in _members(text):
        try:
            keys.append(_token_key(jwk, algorithm))
        except UnusableKey as error:
            complaint = str(error)
    if not keys:
        raise UnusableKey(f"no key of the set is of use: {complaint}")
    return keys


def _members(text: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableKey("is no JSON") from None
    members = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(members, list) or not members:
        raise UnusableKey('has no "keys"')
    if len(members) > MOST_KEYS:
        raise UnusableKey(f"has more than {MOST_KEYS} keys")
    return members


def _token_key(jwk: Any, algorithm: str) -> TokenKey:
    _check_fit(jwk, algorithm)
    try:
        value = jwt.PyJWK(jwk, algorithm).key
    except (PyJWTError, ValueError, TypeError, OverflowError):
        raise UnusableKey(f"holds a key that is no {jwk['kty']} key") from None
    if algorithm == "RS256" and value.key_size < LEAST_RSA:
        raise UnusableKey(f"holds an RSA key of fewer than {LEAST_RSA} bits")
    return TokenKey(jwk.get("kid"), value)


def _check_fit(jwk: Any, algorithm: str) -> None:
    """Raise UnusableKey for a key that is for something else, or secret."""
    if not isinstance(jwk, dict):
        raise UnusableKey("holds a key that is no JSON object")
    kty, curve = NEEDS[algorithm]
    if jwk.get("kty") != kty or (curve and jwk.get("crv") != curve):
        raise UnusableKey(f"holds a key of another type than {algorithm} needs")
    if "d" in jwk:
        raise UnusableKey("holds a private key; only public ones are needed here")
    if jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops")):
        raise UnusableKey("holds a key that is not for signatures")
    if jwk.get("alg", algorithm) not in {algorithm, curve}:
        raise UnusableKey(f"holds a key for another algorithm than {algorithm}")
    if not isinstance(jwk.get("kid"), str | None):
        raise UnusableKey("holds a key whose kid is no string")


def _may_verify(key_ops: Any) -> bool:
    return key_ops is None or (isinstance(key_ops, list) and "verify" in key_ops)


def _jwk_of_pem(text: str, algorithm: str) -> dict[str, Any]:
    if text.count("-----BEGIN") > 1:
        raise UnusableKey("has several keys in PEM: give them a kid each, in a JWKS")
    try:
        kind = _algorithm(algorithm)
        return dict(kind.to_jwk(kind.prepare_key(text), as_dict=True))
    except (PyJWTError, ValueError, TypeError, AttributeError):
        what = "neither a JWKS nor a public key in PEM"
        raise UnusableKey(f"is {what} for {algorithm}") from None


def _algorithm(name: str) -> Algorithm:
    return jwt.get_algorithm_by_name(name)
