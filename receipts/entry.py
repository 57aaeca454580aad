"""From a body to the signed entry that goes into the log (LEDGER section 1)."""

import hashlib
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lucid.api.uuid7 import uuid7
from receipts import canonical
from receipts.keyring import Keyring
from receipts.merkle import leaf_hash
from receipts.tiles import MAX_ENTRY_BYTES

SCHEMA_VERSION = "1.0"
SIGNER_TYPE = "orchestrator"

# What the seal adds to a body, and what we say ourselves within it: not part of
# what a caller repeats when it repeats a run_id.
SEAL = (
    "receipt_hash",
    "receipt_signature",
    "signer_pubkey",
    "signer_kid",
    "signer_type",
)


OURS = frozenset({*SEAL, "issued_at"})
OURS_AND_TIME = OURS | {"timestamp"}


class EntryTooLarge(ValueError):
    """The canonical entry has more than 65,535 bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A signed receipt without its place: all of it but `receipt_id` is immutable."""

    receipt_id: UUID
    members: dict[str, Any]  # body and seal
    data: bytes  # JCS(members), the leaf of the log
    leaf_hash: bytes
    receipt_hash: bytes
    ours: frozenset[str]  # members that the caller did not claim

    @property
    def run_id(self) -> str:
        return str(self.members["run_id"])

    def repeats(self, stored: dict[str, Any]) -> bool:
        """Say whether a stored entry's members make the same claims as this one.

        A time that the caller did not claim was our clock's, and differs with
        every repeat.
        """
        return _without(self.members, self.ours) == _without(stored, self.ours)


def _without(members: dict[str, Any], names: frozenset[str]) -> bytes:
    # Compared as bytes: Python holds 1 and True to be equal.
    kept = {name: value for name, value in members.items() if name not in names}
    return canonical.dumps(kept)


def make_entry(
    keyring: Keyring,
    receipt_type: str,
    run_id: str,
    timestamp: int | None,
    claims: dict[str, Any],
    derived: frozenset[str] = frozenset(),
    receipt_id: UUID | None = None,
) -> Entry:
    """Sign a receipt of `claims`, the members particular to its type.

    `timestamp` is the claimed time in Unix seconds, None when the caller claims
    none. Of `claims`, the `derived` are what we made of the others: a repeat need
    not agree with them. `receipt_id` is a new UUIDv7 unless it was given out before.
    Raises EntryTooLarge.
    """
    now = int(time.time())
    body = {
        "schema_version": SCHEMA_VERSION,
        "receipt_type": receipt_type,
        "run_id": run_id,
        "timestamp": now if timestamp is None else timestamp,
        "issued_at": now,
        **claims,
    }
    written = canonical.fragments(body)
    receipt_hash = hashlib.sha256(canonical.assemble(written)).digest()
    seal = {
        "receipt_hash": receipt_hash.hex(),
        "receipt_signature": keyring.receipt_signer.sign(receipt_hash).hex(),
        "signer_pubkey": keyring.receipt_public_key,
        "signer_kid": keyring.receipt_kid,
        "signer_type": SIGNER_TYPE,
    }
    data = canonical.assemble(written | canonical.fragments(seal))
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryTooLarge(
            f"{len(data)} bytes; an entry has at most {MAX_ENTRY_BYTES}"
        )
    return Entry(
        receipt_id=receipt_id or uuid7(),
        members=body | seal,
        data=data,
        leaf_hash=leaf_hash(data),
        receipt_hash=receipt_hash,
        ours=derived | (OURS_AND_TIME if timestamp is None else OURS),
    )
