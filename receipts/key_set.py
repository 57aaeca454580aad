"""The signed key set: which receipt keys count in a log, and for which entries.

A verifier that pins only the log's own key learns the receipt keys from a note
that this key has signed. Its text:

    <origin>/keys
    lucid-key-set/v1
    size <tree size it was made at>
    <kid> <base64 of the public key> <first index> <last index or "-"> <status>

The second line keeps it apart from a checkpoint, where a decimal stands. A revoked
key of which no signature counts has a last index below the first, as `1 0 revoked`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from receipts import base58, ed25519
from receipts.checkpoint import parse_decimal
from receipts.merkle import MAX_SIZE
from receipts.note import decode_base64

VERSION = "lucid-key-set/v1"
NAME_SUFFIX = "/keys"

Status = Literal["active", "retired", "revoked"]


class KeySetError(ValueError):
    """Not a key set that can be relied on."""


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """A key and the log indexes, both inclusive, in which its signatures count."""

    kid: str
    public_key: bytes
    first_index: int
    last_index: int | None
    status: Status

    def __post_init__(self) -> None:
        try:
            ed25519.check_public_key(self.public_key)
        except ed25519.InvalidPublicKey as error:
            raise KeySetError(str(error)) from error
        if self.kid != ed25519.thumbprint(self.public_key):
            raise KeySetError(f"{self.kid!r} is not the thumbprint of its key")
        if self.status not in get_args(Status):
            raise KeySetError(f"unknown status {self.status!r}")
        _check_index(self.first_index)
        if self.last_index is not None:
            _check_index(self.last_index)
        elif self.status != "active":
            raise KeySetError(f"a {self.status} key has a last index")

    @property
    def base58(self) -> str:
        """The public key as receipts carry it."""
        return base58.encode(self.public_key)

    def counts_at(self, index: int) -> bool:
        last = MAX_SIZE if self.last_index is None else self.last_index
        return self.first_index <= index <= last

    def is_revoked_at(self, index: int) -> bool:
        """Say whether only a revocation keeps signatures at the index from counting."""
        if self.status != "revoked" or self.last_index is None:
            return False
        return index > self.last_index or self.last_index < self.first_index

    def line(self) -> str:
        public_key = base64.b64encode(self.public_key).decode()
        last = "-" if self.last_index is None else self.last_index
        return f"{self.kid} {public_key} {self.first_index} {last} {self.status}\n"


@dataclass(frozen=True, slots=True)
class KeySet:
    """The receipt keys of one log, as it was when it had `size` entries.

    A JWKS does not say when it was made: its key set has no size and no text. But it
    has the log's own keys as well, of which the revoked ones are kept: a checkpoint
    by such a key counts up to a last leaf.
    """

    origin: str
    size: int | None
    keys: tuple[ReceiptKey, ...]
    revoked_log_keys: tuple[ReceiptKey, ...] = ()

    def __post_init__(self) -> None:
        if len({key.kid for key in self.keys}) != len(self.keys):
            raise KeySetError("a key is listed twice")

    def find(self, kid: str) -> ReceiptKey | None:
        return next((key for key in self.keys if key.kid == kid), None)

    def speaks_for(self, index: int) -> bool:
        """Say whether the set is recent enough to tell of the entry at the index.

        Whoever stole a key could otherwise show a set from before its revocation.
        """
        return self.size is None or index < self.size

    def text(self) -> str:
        """Return the note text to sign; raises KeySetError without a size."""
        if self.size is None:
            raise KeySetError("a key set is made at a tree size")
        head = f"{self.origin}{NAME_SUFFIX}\n{VERSION}\nsize {self.size}\n"
        return head + "".join(key.line() for key in self.keys)


def parse(text: str) -> KeySet:
    """Read the text of a note, in its one spelling; raises KeySetError."""
    name, *lines = text.split("\n")
    if not name.endswith(NAME_SUFFIX) or len(lines) < 3 or lines[0] != VERSION:
        raise KeySetError(f"not a {VERSION}")
    try:
        size = parse_decimal(lines[1].removeprefix("size "))
        keys = tuple(_parse_line(line) for line in lines[2:-1])
    except ValueError as error:
        raise KeySetError(f"malformed key set: {error}") from error
    key_set = KeySet(name.removesuffix(NAME_SUFFIX), size, keys)
    if key_set.text() != text:
        raise KeySetError("not the one spelling of this key set")
    return key_set


def from_jwks(jwks: Any) -> list[KeySet]:
    """Read the receipt keys out of a JWKS (RFC 7517, RFC 8037), a set for each log.

    Takes the parsed answer of GET /v1/keys, and of its checkpoint keys those that
    were revoked; raises KeySetError for anything that is not such an answer.
    """
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
        raise KeySetError("a JWKS is an object with an array of keys")
    try:
        keys = [jwk for jwk in jwks["keys"] if jwk["purpose"] == "receipt"]
        revoked = [jwk for jwk in jwks["keys"] if _is_revoked_log_key(jwk)]
        origins = {jwk["origin"]: None for jwk in keys}
        return [_from_jwks(origin, keys, revoked) for origin in origins]
    except (KeyError, TypeError, ValueError) as error:
        raise KeySetError(f"malformed JWKS: {error}") from error


def _parse_line(line: str) -> ReceiptKey:
    kid, public_key, first, last, status = line.split(" ")
    return ReceiptKey(
        kid,
        decode_base64(public_key),
        parse_decimal(first),
        None if last == "-" else parse_decimal(last),
        status,  # type: ignore[arg-type]  # checked there
    )


def _is_revoked_log_key(jwk: Mapping[str, Any]) -> bool:
    return bool(jwk["purpose"] == "checkpoint" and jwk.get("status") == "revoked")


def _from_jwks(
    origin: str, jwks: list[Mapping[str, Any]], revoked: list[Mapping[str, Any]]
) -> KeySet:
    keys = tuple(_from_jwk(jwk) for jwk in jwks if jwk["origin"] == origin)
    log_keys = tuple(_from_jwk(jwk) for jwk in revoked if jwk["origin"] == origin)
    return KeySet(origin, None, keys, log_keys)


def _from_jwk(jwk: Mapping[str, Any]) -> ReceiptKey:
    if (jwk["kty"], jwk["crv"], jwk["use"]) != ("OKP", "Ed25519", "sig"):
        raise KeySetError("a key is an Ed25519 key for signatures")
    return ReceiptKey(
        jwk["kid"],
        base64.b64decode(jwk["x"] + "=", altchars="-_", validate=True),
        jwk["first_index"],
        jwk["last_index"],
        jwk["status"],
    )


def _check_index(index: int) -> None:
    if type(index) is not int or not 0 <= index <= MAX_SIZE:
        raise KeySetError("a log index is an integer from 0 to 2^63-1")
