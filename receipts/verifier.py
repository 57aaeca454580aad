"""Check a receipt and its proof offline, with nothing from us but these files.

    python -m receipts.verifier BUNDLE [--key VKEY] [--keys JWKS]
    python -m receipts.verifier RECEIPT --proof PROOF --key VKEY [--keys JWKS]

are the command (`receipts.verifier_command`). Every verdict has its own exit code, 0
is VALID.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lucid.api import strict_json
from receipts import base58, canonical, checkpoint, ed25519, key_set, merkle, tlog_proof
from receipts.checkpoint import Checkpoint
from receipts.key_set import KeySet, ReceiptKey
from receipts.note import (
    ED25519,
    MalformedKey,
    NoteError,
    UnverifiedNote,
    VerifierKey,
    open_note,
)
from receipts.tlog_proof import TlogProof

# What sealing adds to the body, and what a reply adds from outside the entry.
SEAL = {
    "receipt_hash",
    "receipt_signature",
    "signer_pubkey",
    "signer_kid",
    "signer_type",
}
EXTRAS = {"receipt_id", "_mmr_leaf_index", "anchor"}


class Verdict(StrEnum):
    """A published list: the position of a verdict is its exit code."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNSIGNED = "UNSIGNED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    KEY_REVOKED = "KEY_REVOKED"
    NOT_IN_LOG = "NOT_IN_LOG"
    INCONSISTENT = "INCONSISTENT"
    CONTENT_ERASED = "CONTENT_ERASED"
    CONTENT_MISMATCH = "CONTENT_MISMATCH"

    @property
    def exit_code(self) -> int:
        return list(Verdict).index(self)


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict, the steps that led to it, and what the reader has to know.

    `field` names what is wrong; `expected` is what follows from the rest.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    field: str | None = None
    expected: Any = None
    found: Any = None


def split(receipt: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (entry, body): the receipt without extras, and without the seal too."""
    entry = {name: value for name, value in receipt.items() if name not in EXTRAS}
    body = {name: value for name, value in entry.items() if name not in SEAL}
    return entry, body


def check_entry(entry: bytes | dict[str, Any], keys: KeySet, index: int) -> Result:
    """Check hash, signature and key range of the entry at a log index.

    Bytes are an entry as it is stored, and have to be canonical.
    """
    case = _Case(entry, index=index)
    case.keys = keys
    return conclude(
        [
            ("receipt", case.read_entry),
            ("receipt_hash", case.check_hash),
            ("receipt_signature", case.check_signature),
            ("key_range", case.check_key_range),
        ]
    )


def verify(
    receipt: bytes | dict[str, Any],
    proof: bytes | str | dict[str, Any],
    log_keys: Sequence[VerifierKey] = (),
    key_sets: Iterable[KeySet] | None = None,
    origin: str | None = None,
) -> Result:
    """Check a receipt against the log it claims to be in; never raises.

    `proof` is a .tlog-proof (text or bytes) or the proof JSON, parsed or not.
    `log_keys` and `origin` are pinned from outside, as are the receipt keys of
    `key_sets`; without these the proof's own key set counts, signed by the log.
    """
    case = _Case(receipt, proof, log_keys, key_sets, origin)
    steps = [
        ("receipt", case.read_receipt),
        ("receipt_hash", case.check_hash),
        ("proof", case.read_proof),
        ("checkpoint", case.open_checkpoint),
        ("key_set", case.open_key_set),
        ("receipt_signature", case.check_signature),
        ("inclusion", case.check_inclusion),
        ("agreement", case.check_agreement),
        ("key_range", case.check_key_range),
    ]
    return conclude(steps, not_pinned("proof", log_keys, key_sets, origin))


def verify_entry(
    entry: bytes,
    proof: bytes,
    log_keys: Sequence[VerifierKey],
    key_set: KeySet,
    origin: str,
) -> Result:
    """As `verify`, of an entry in the very bytes that are the leaf, and a .tlog-proof.

    All that the entry is checked against is given; none of it is taken from the proof.
    """
    case = _Case(entry, proof, log_keys, [key_set], origin)
    return conclude(
        [
            ("receipt", case.read_entry),
            ("receipt_hash", case.check_hash),
            ("proof", case.read_proof),
            ("checkpoint", case.open_checkpoint),
            ("key_set", case.open_key_set),
            ("receipt_signature", case.check_signature),
            ("inclusion", case.check_inclusion),
            ("key_range", case.check_key_range),
        ]
    )


class Refused(ValueError):
    """Why a step fails, with the verdict that it leads to."""

    def __init__(
        self,
        verdict: Verdict,
        detail: str,
        field: str | None = None,
        expected: Any = None,
        found: Any = None,
    ) -> None:
        super().__init__(detail)
        self.verdict = verdict
        self.field = field
        self.expected = expected
        self.found = found


def conclude(
    steps: list[tuple[str, Callable[[], str]]], notes: tuple[str, ...] = ()
) -> Result:
    """Take the steps up to the first that fails. What cannot be read is INVALID."""
    done: list[Step] = []
    for name, check in steps:
        try:
            done.append(Step(name, True, check()))
        except ValueError as error:
            done.append(Step(name, False, str(error)))
            refused = as_refused(error)
            return Result(
                refused.verdict,
                tuple(done),
                notes,
                refused.field or name,
                refused.expected,
                refused.found,
            )
    return Result(Verdict.VALID, tuple(done), notes)


def as_refused(error: ValueError) -> Refused:
    match error:
        case Refused():
            return error
        case UnverifiedNote():
            return Refused(Verdict.UNKNOWN_KEY, str(error))
        case strict_json.InvalidJSON():
            return Refused(Verdict.INVALID, str(error), error.field)
        case _:
            return Refused(Verdict.INVALID, str(error))


@dataclass(slots=True)
class _Case:
    """What is given, and what each step has established from it for the next.

    Every step returns what it found, in words, or raises a ValueError.
    """

    given_receipt: object
    given_proof: object = None
    log_keys: Sequence[VerifierKey] = ()
    key_sets: Iterable[KeySet] | None = None
    origin: str | None = None
    index: int = 0

    receipt: dict[str, Any] = field(init=False)
    entry: dict[str, Any] = field(init=False)
    body: dict[str, Any] = field(init=False)
    stated: dict[str, Any] = field(default_factory=dict)  # members of a proof JSON
    proof: TlogProof = field(init=False)
    head: Checkpoint = field(init=False)
    head_signers: set[bytes] = field(init=False)  # key ids
    keys: KeySet = field(init=False)
    key: ReceiptKey = field(init=False)

    def read_receipt(self) -> str:
        self.receipt = _unwrap(_read_object(self.given_receipt), "receipt")
        self.entry, self.body = split(self.receipt)
        return f"run_id {self.entry.get('run_id')!r}"

    def read_entry(self) -> str:
        self.receipt = _read_object(self.given_receipt)
        if isinstance(self.given_receipt, bytes):
            expect("receipt", canonical.dumps(self.receipt), self.given_receipt)
            if extras := sorted(EXTRAS & self.receipt.keys()):
                raise Refused(Verdict.INVALID, "no entry has it", extras[0])
        self.entry, self.body = split(self.receipt)
        return f"run_id {self.entry.get('run_id')!r}"

    def check_hash(self) -> str:
        """receipt_hash = hex SHA-256(JCS(body)), and somebody has signed it."""
        computed = hashlib.sha256(canonical.dumps(self.body)).hexdigest()
        expect("receipt_hash", computed, self.entry.get("receipt_hash"))
        if not self.entry.get("receipt_signature"):
            raise Refused(Verdict.UNSIGNED, "nobody has signed the receipt")
        return f"{computed} is the hash of the body"

    def read_proof(self) -> str:
        proof = self.given_proof
        if isinstance(proof, bytes) and proof.startswith(tlog_proof.HEADER.encode()):
            proof = proof.decode()
        if isinstance(proof, str):
            self.proof = tlog_proof.parse(proof)
        else:
            self.stated = _unwrap(_read_object(proof), "proof")
            self.proof = _read_members(self.stated)
        self.index = self.proof.index
        return f"{len(self.proof.hashes)} hashes for leaf {self.index}"

    def open_checkpoint(self) -> str:
        """The tree head, signed by a key of the log that is named as the origin."""
        if self.stated and not self.log_keys:
            self.log_keys = [_parse_vkey(self.stated["vkey"])]
        text, signers = self.open_note(self.proof.checkpoint)
        self.head = checkpoint.parse(text)
        if self.head.origin not in signers.values():
            raise differs("origin", [*signers.values()], self.head.origin)
        self.head_signers = set(signers)
        expect("origin", self.origin or self.head.origin, self.head.origin)
        extensions = len(self.head.extensions)
        audited = f", {extensions} lines that nobody audits" if extensions else ""
        return f"{self.head.origin} signed size {self.head.size}{audited}"

    def open_key_set(self) -> str:
        """The receipt keys of the log: the pinned ones, else those it has signed."""
        origin = self.head.origin
        if self.stated:
            text, signers = self.open_note(self.stated["key_set"])
            self.keys = key_set.parse(text)
            expect("key_set", origin, self.keys.origin)
            if origin not in signers.values():
                raise differs("key_set", [*signers.values()], origin)
        elif self.key_sets is None:
            detail = "the proof has no key set, and none was given"
            raise Refused(Verdict.UNKNOWN_KEY, detail)
        if self.key_sets is not None:
            given = [keys for keys in self.key_sets if keys.origin == origin]
            self.keys = given[0] if given else KeySet(origin, None, ())
            self.check_log_keys()
            return f"{len(self.keys.keys)} keys, given from outside"
        return f"{len(self.keys.keys)} keys, signed by the log at {self.keys.size}"

    def check_log_keys(self) -> None:
        """The checkpoint has a signature that counts for its last leaf."""
        last_leaf = self.head.size - 1
        ended = {
            key.public_key
            for key in self.keys.revoked_log_keys
            if key.is_revoked_at(last_leaf)
        }
        signed = {
            key.public_key
            for key in self.log_keys
            if key.name == self.head.origin and key.key_id in self.head_signers
        }
        if signed <= ended:
            detail = f"the log's key was revoked before leaf {last_leaf}"
            raise Refused(Verdict.KEY_REVOKED, detail, "checkpoint")

    def check_signature(self) -> str:
        """Ed25519 over the 32 raw bytes of receipt_hash, under the key that is
        looked up by its kid: the one in the receipt proves nothing.
        """
        kid = self.entry.get("signer_kid")
        key = self.keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            detail = f"the log has no receipt key {kid!r}"
            raise Refused(Verdict.UNKNOWN_KEY, detail, "signer_kid", found=kid)
        public_key = base58.encode(key.public_key)
        expect("signer_pubkey", public_key, self.entry.get("signer_pubkey"))
        message = bytes.fromhex(self.entry["receipt_hash"])
        signature = _from_hex(self.entry["receipt_signature"])
        if not ed25519.verify(key.public_key, message, signature):
            raise ValueError(f"the signature is not by {kid}")
        self.key = key
        return f"made with {kid}"

    def check_inclusion(self) -> str:
        leaf = merkle.leaf_hash(canonical.dumps(self.entry))
        size, root = self.head.size, self.head.root
        try:
            merkle.verify_inclusion(self.index, size, leaf, self.proof.hashes, root)
        except merkle.ProofError as error:
            raise Refused(Verdict.NOT_IN_LOG, str(error)) from None
        return f"the entry is leaf {self.index} of {size}"

    def check_agreement(self) -> str:
        """Everything the files say twice has to be what was derived."""
        if "_mmr_leaf_index" in self.receipt:
            stated = self.receipt["_mmr_leaf_index"]
            expect("_mmr_leaf_index", self.index, stated)
        if not self.stated:
            return "nothing is repeated"
        for name, value in self.derived().items():
            expect(name, value, self.stated.get(name))
        self.check_vkey()
        return "what the files repeat is what was derived"

    def check_key_range(self) -> str:
        kid, index = self.key.kid, self.index
        if not self.key.counts_at(index):
            detail = f"signatures by {kid} do not count at index {index}"
            raise Refused(Verdict.KEY_REVOKED, detail)
        if not self.keys.speaks_for(index):
            detail = f"the key set of size {self.keys.size} is older than the entry"
            raise Refused(Verdict.UNKNOWN_KEY, detail)
        return f"the {self.key.status} key counts at index {index}"

    def open_note(self, note: str) -> tuple[str, dict[bytes, str]]:
        """Return the text of a note by the log, and who signed: names by key id."""
        opened = open_note(note, self.log_keys)
        signers = [item for item in opened.verified if item.algorithm == ED25519]
        return opened.text, {item.key_id: item.name for item in signers}

    def check_vkey(self) -> None:
        """The vkey in the proof may be another than the pinned one while the log
        changes its key; both have signed then.
        """
        try:
            open_note(self.proof.checkpoint, [_parse_vkey(self.stated["vkey"])])
        except NoteError as error:
            raise Refused(Verdict.INVALID, str(error), "vkey") from None

    def derived(self) -> dict[str, Any]:
        entry = canonical.dumps(self.entry)
        hashes = [item.hex() for item in self.proof.hashes]
        return {
            "run_id": self.entry.get("run_id"),
            "receipt_hash": self.entry["receipt_hash"],
            "leaf": base64.b64encode(entry).decode(),
            "leaf_hash": merkle.leaf_hash(entry).hex(),
            "leaf_index": self.index,
            "proof": hashes,
            "siblings": hashes,
            "directions": merkle.directions(self.index, self.head.size),
            "root": self.head.root.hex(),
            "tree_size": self.head.size,
            "origin": self.head.origin,
            "proof_type": "rfc6962",
        }


def _read_members(proof: dict[str, Any]) -> TlogProof:
    """Read what the rest is derived from; all else has to agree with it."""
    kinds = {"leaf_index": int, "proof": list, "checkpoint": str}
    for name, kind in (kinds | {"key_set": str, "vkey": str}).items():
        if type(proof.get(name)) is not kind:
            detail = f"{name} is not given as {kind.__name__}"
            raise Refused(Verdict.INVALID, detail, name)
    hashes = tuple(map(_from_hex, proof["proof"]))
    return TlogProof(proof["leaf_index"], hashes, proof["checkpoint"])


def _parse_vkey(vkey: str) -> VerifierKey:
    try:
        return VerifierKey.parse(vkey)
    except MalformedKey as error:
        raise Refused(Verdict.INVALID, str(error), "vkey") from None


def _read_object(document: object) -> dict[str, Any]:
    if isinstance(document, bytes):
        document = strict_json.loads(document)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _unwrap(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the object out of an API answer, or the object for itself.

    Only out of a bare envelope: what else stood there would go unchecked.
    """
    inner = answer.get(name)
    if isinstance(inner, dict) and answer.keys() <= {"success", name}:
        return inner
    return answer


def _from_hex(text: object) -> bytes:
    """Decode lowercase hex; ValueError for anything else."""
    data = bytes.fromhex(text) if isinstance(text, str) else b""
    if data.hex() != text:
        raise ValueError("not lowercase hex")
    return data


def expect(field: str, expected: object, found: object) -> None:
    if type(found) is not type(expected) or found != expected:
        raise differs(field, expected, found)


def differs(field: str, expected: object, found: object) -> Refused:
    detail = f"{field} is not what follows from the rest"
    return Refused(Verdict.INVALID, detail, field, expected, found)


def not_pinned(
    source: str,
    log_keys: Sequence[VerifierKey],
    key_sets: Iterable[KeySet] | None,
    origin: str | None,
) -> tuple[str, ...]:
    """Say what was taken from the files that it is to be checked with."""
    taken = f"was not pinned: taken from the {source} itself."
    notes = []
    if not log_keys:
        notes.append(f"The log's key {taken}")
    if not log_keys and origin is None:
        notes.append(f"The origin {taken}")
    if key_sets is None:
        notes.append(f"The receipt keys {taken.replace('was', 'were')}")
    return tuple(notes)


if __name__ == "__main__":
    from receipts.verifier_command import main

    sys.exit(main())
