"""The server's own verdict on a receipt, from the stored bytes up."""

from dataclasses import dataclass

from receipts import merkle, verifier
from receipts.key_publication import key_set_of
from receipts.models import Log, Receipt
from receipts.reader import LogReader
from receipts.verifier import Verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found: hashes in hex, and the inclusion proof that was checked."""

    verdict: Verdict
    hash_valid: bool
    signature_valid: bool
    inclusion_valid: bool
    expected_hash: str
    computed_hash: str
    proof: list[bytes]


def check_receipt(receipt: Receipt, log: Log) -> Checked:
    """Check hash, signature and inclusion in the newest tree of the receipt's log."""
    entry = bytes(receipt.entry)
    result = verifier.check_entry(entry, key_set_of(log), receipt.leaf_index)
    passed = {step.name for step in result.steps if step.ok}
    proof = LogReader(log).inclusion_proof(receipt.leaf_index, log.size)
    try:
        merkle.verify_inclusion(
            receipt.leaf_index,
            log.size,
            merkle.leaf_hash(entry),
            proof,
            bytes(log.root),
        )
        inclusion_valid = True
    except merkle.ProofError:
        inclusion_valid = False
    verdict = result.verdict
    if verdict == Verdict.VALID and not inclusion_valid:
        verdict = Verdict.NOT_IN_LOG
    stated = bytes(receipt.receipt_hash).hex()
    return Checked(
        verdict=verdict,
        hash_valid="receipt_hash" in passed,
        signature_valid="receipt_signature" in passed,
        inclusion_valid=inclusion_valid,
        expected_hash=stated,
        computed_hash=result.expected if result.field == "receipt_hash" else stated,
        proof=proof,
    )
