"""The server's own verdict on a receipt, from the stored bytes up."""

import hashlib
from dataclasses import dataclass
from typing import Any

from lucid.api import strict_json
from receipts import canonical, merkle, verifier
from receipts.key_publication import key_set_of
from receipts.models import Log, Receipt
from receipts.reader import LogReader
from receipts.verifier import Verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: hashes in hex, and the inclusion proof that was checked.

    `members` is what can be read of the entry: nothing, where it is no receipt.
    """

    verdict: Verdict
    hash_valid: bool
    signature_valid: bool
    inclusion_valid: bool
    expected_hash: str
    computed_hash: str
    proof: list[bytes]
    members: dict[str, Any]


def check_receipt(receipt: Receipt, log: Log) -> Checked:
    """Check hash, signature and inclusion in the newest tree of the receipt's log."""
    entry = bytes(receipt.entry)
    members = members_of(entry)
    _, body = verifier.split(members)
    computed = hashlib.sha256(canonical.dumps(body)).hexdigest()
    stated = bytes(receipt.receipt_hash).hex()
    hash_valid = computed == stated == members.get("receipt_hash")
    proof = _proof(receipt.leaf_index, log)
    inclusion_valid = _is_included(receipt.leaf_index, entry, proof, log)
    result = verifier.check_entry(entry, key_set_of(log), receipt.leaf_index)
    verdict = result.verdict
    if verdict == Verdict.VALID and not hash_valid:
        verdict = Verdict.INVALID  # the receipt is kept under another hash
    elif verdict == Verdict.VALID and not inclusion_valid:
        verdict = Verdict.NOT_IN_LOG
    return Checked(
        verdict=verdict,
        hash_valid=hash_valid,
        signature_valid=any(
            step.name == "receipt_signature" and step.ok for step in result.steps
        ),
        inclusion_valid=inclusion_valid,
        expected_hash=stated,
        computed_hash=computed,
        proof=proof,
        members=members,
    )


def members_of(entry: bytes) -> dict[str, Any]:
    try:
        members = strict_json.loads(entry)
    except strict_json.InvalidJSON:
        return {}
    return members if isinstance(members, dict) else {}


def _proof(index: int, log: Log) -> list[bytes]:
    """Return the inclusion proof, an empty one where the log has lost rows."""
    try:
        return LogReader(log).inclusion_proof(index, log.size)
    except (KeyError, ValueError):
        return []


def _is_included(index: int, entry: bytes, proof: list[bytes], log: Log) -> bool:
    leaf, root = merkle.leaf_hash(entry), bytes(log.root)
    try:
        merkle.verify_inclusion(index, log.size, leaf, proof, root)
    except merkle.ProofError:
        return False
    return True
