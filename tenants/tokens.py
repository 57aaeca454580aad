"""Bearer tokens of other issuers (JWT, RFC 7519), as WIRE section 1 has them.

The algorithm is the configured one, and so is where keys come from: nothing that a
token says of either counts, but for the `kid` that picks one of our keys.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

import jwt
import msgspec
from django.conf import settings
from jwt import exceptions
from msgspec import Meta

from tenants.key_sets import read_keys, secret_key
from tenants.key_sources import FixedKeys, KeySource, file_source, url_source
from tenants.token_settings import TokenSettings

MOST_CHARACTERS = 8 << 10
LEEWAY = 30  # seconds that clocks may differ
LAST_MOMENT = 253_402_300_799  # the end of the year 9999
OPTIONS: Any = {"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True}


class InvalidToken(Exception):
    """The message says what is wrong, and repeats nothing of the token."""


class Claims(msgspec.Struct, frozen=True):
    """What we read of a token, its signature checked."""

    exp: int | float
    tenant: Any = None  # a UUID or slug: who knows tenants says what is wrong with it
    scope: str = ""
    mode: Literal["live", "test"] = "live"
    sub: Annotated[str, Meta(max_length=200, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")] = (
        ""
    )

    @property
    def expires_at(self) -> datetime:
        """Return when it is refused, which is a little later than it says."""
        return datetime.fromtimestamp(min(int(self.exp) + LEEWAY, LAST_MOMENT), UTC)


def read_token(text: str) -> Claims:
    """Return what a valid token claims. Raises InvalidToken and NoKeys."""
    config: TokenSettings = settings.LUCID_JWT
    if len(text) > MOST_CHARACTERS:
        raise InvalidToken(f"The token has more than {MOST_CHARACTERS} characters.")
    kid = _kid(text, config.algorithm)
    key = _source(config).find(kid)
    if key is None:
        raise InvalidToken("The token is signed with a key that is unknown here.")
    try:
        payload = jwt.decode(
            text,
            key.value,
            [config.algorithm],
            OPTIONS,
            audience=config.audience,
            issuer=config.issuer,
            leeway=LEEWAY,
        )
        return msgspec.convert(payload, Claims)
    except exceptions.PyJWTError as error:
        raise InvalidToken(_complaint(error)) from None
    except msgspec.ValidationError:
        raise InvalidToken("A claim of the token is malformed.") from None


def _kid(text: str, algorithm: str) -> str | None:
    """Return what a token says its key is. Ahead of anything that costs more."""
    try:
        header = jwt.get_unverified_header(text)
    except (exceptions.PyJWTError, UnicodeError):
        raise InvalidToken("The token is malformed.") from None
    if header.get("alg") != algorithm:
        raise InvalidToken("The token is signed with another algorithm.")
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None


@lru_cache(maxsize=2)
def _source(config: TokenSettings) -> KeySource:
    if config.secret:
        return FixedKeys([secret_key(config.secret)])
    if config.keys:
        return FixedKeys(read_keys(config.keys, config.algorithm))
    source = file_source if config.jwks_file else url_source
    place = config.jwks_file or config.jwks_url
    return source(place, config.algorithm, config.jwks_seconds)


def _complaint(error: exceptions.PyJWTError) -> str:
    match error:
        case exceptions.ExpiredSignatureError():
            return "The token has expired."
        case exceptions.ImmatureSignatureError():
            return "The token is not valid yet."
        case exceptions.InvalidIssuerError():
            return "The token is of another issuer."
        case exceptions.InvalidAudienceError():
            return "The token is for another audience."
        case exceptions.MissingRequiredClaimError():
            return f"The token lacks the claim {error.claim}."
        case exceptions.InvalidSignatureError():
            return "The token's signature is wrong."
    return "The token is malformed."
