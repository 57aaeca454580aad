"""The files of a receipt that verify offline (LEDGER section 3)."""

import json
from dataclasses import dataclass

from receipts.keyring import Keyring
from receipts.models import Receipt
from receipts.reader import LogReader, proof_json
from receipts.tlog_proof import TlogProof


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content_type: str
    text: str


def receipt_file(receipt: Receipt) -> File:
    """Return the receipt as GET /v1/receipts/{id} answers it."""
    answer = {"success": True, "receipt": receipt.as_json()}
    return _json(f"receipt-{receipt.pk}.json", answer)


def proof_file(receipt: Receipt, keyring: Keyring) -> File:
    """Return its newest proof as GET /v1/receipts/{id}/proof answers it."""
    log = receipt.log
    answer = {"success": True, "proof": proof_json(receipt, log, log.size, keyring)}
    return _json(f"proof-{receipt.pk}.json", answer)


def tlog_proof_file(receipt: Receipt) -> File:
    """Return its newest proof as C2SP tlog-proof has it."""
    log, index = receipt.log, receipt.leaf_index
    proof = LogReader(log).inclusion_proof(index, log.size)
    text = TlogProof(index, tuple(proof), log.checkpoint).text()
    return File(f"{receipt.pk}.tlog-proof", "text/plain; charset=utf-8", text)


def _json(name: str, answer: object) -> File:
    text = json.dumps(answer, ensure_ascii=False, indent=2)
    return File(name, "application/json", f"{text}\n")
