"""A log of a few receipts with everything a verifier is given, from fixed seeds."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from receipts import base58, canonical, ed25519, merkle, note
from receipts.checkpoint import Checkpoint
from receipts.key_set import KeySet, ReceiptKey
from receipts.tlog_proof import TlogProof

ORIGIN = "lucid.example/log/acme"
LOG_SIGNER = ed25519.Signer(b"log".ljust(32, b"."))
RECEIPT_SIGNER = ed25519.Signer(b"receipt".ljust(32, b"."))
WITNESS_SIGNER = ed25519.Signer(b"witness".ljust(32, b"."))
LOG_KEY = note.VerifierKey.of(ORIGIN, LOG_SIGNER.public_key)


def body(number):
    return {
        "schema_version": "1.0",
        "receipt_type": "compute",
        "run_id": f"run_{number}",
        "timestamp": 1795346223,
        "issued_at": 1795346224,
        "model_passport_id": "ppt_model_7xK9mQ2v",
        "compute_passport_id": "ppt_compute_Xn5vR2kJ",
        "policy_hash": hashlib.sha256(b"").hexdigest(),
        "runtime": "vllm",
        "metrics": {"ttft_ms": 85, "tokens_in": 42, "tokens_out": 128},
    }


def seal(unsealed, signer=RECEIPT_SIGNER):
    digest = hashlib.sha256(canonical.dumps(unsealed)).digest()
    return {
        **unsealed,
        "receipt_hash": digest.hex(),
        "receipt_signature": signer.sign(digest).hex(),
        "signer_pubkey": base58.encode(signer.public_key),
        "signer_kid": ed25519.thumbprint(signer.public_key),
        "signer_type": "orchestrator",
    }


def receipt_key(signer=RECEIPT_SIGNER, first=0, last=None, status="active"):
    kid = ed25519.thumbprint(signer.public_key)
    return ReceiptKey(kid, signer.public_key, first, last, status)


@dataclass
class SmallLog:
    entries: list[dict[str, Any]] = field(
        default_factory=lambda: [seal(body(number)) for number in range(7)]
    )
    keys: tuple[ReceiptKey, ...] = (receipt_key(),)
    origin: str = ORIGIN
    signer: ed25519.Signer = LOG_SIGNER

    @property
    def size(self):
        return len(self.entries)

    @property
    def vkey(self):
        return str(note.VerifierKey.of(self.origin, self.signer.public_key))

    def leaf_hashes(self):
        return [merkle.leaf_hash(canonical.dumps(entry)) for entry in self.entries]

    def node(self, level, index):
        leaves = self.leaf_hashes()
        return merkle.tree_root(leaves[index << level : (index + 1) << level])

    def signed(self, text):
        return note.assemble(text, [note.sign(text, self.origin, self.signer)])

    def checkpoint(self):
        root = merkle.tree_root(self.leaf_hashes())
        return self.signed(Checkpoint(self.origin, self.size, root).text())

    def key_set(self, size=None):
        return KeySet(self.origin, self.size if size is None else size, self.keys)

    def path(self, index):
        return merkle.inclusion_proof(index, self.size, self.node)

    def tlog_proof(self, index):
        return TlogProof(index, tuple(self.path(index)), self.checkpoint()).text()

    def receipt(self, index):
        return {
            **self.entries[index],
            "receipt_id": "0197b2e4-0000-7000-8000-000000000000",
            "_mmr_leaf_index": index,
            "anchor": None,
        }

    def proof(self, index):
        entry = self.entries[index]
        hashes = [item.hex() for item in self.path(index)]
        return {
            "run_id": entry.get("run_id"),
            "receipt_hash": entry["receipt_hash"],
            "leaf": base64.b64encode(canonical.dumps(entry)).decode(),
            "leaf_hash": self.leaf_hashes()[index].hex(),
            "leaf_index": index,
            "proof": hashes,
            "siblings": hashes,
            "directions": merkle.directions(index, self.size),
            "root": merkle.tree_root(self.leaf_hashes()).hex(),
            "tree_size": self.size,
            "origin": self.origin,
            "checkpoint": self.checkpoint(),
            "proof_type": "rfc6962",
            "key_set": self.signed(self.key_set().text()),
            "vkey": self.vkey,
        }

    def jwks(self):
        return {"keys": [self.jwk(key) for key in self.keys]}

    def jwk(self, key):
        x = base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode()
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": x,
            "kid": key.kid,
            "use": "sig",
            "purpose": "receipt",
            "mode": "live",
            "status": key.status,
            "first_index": key.first_index,
            "last_index": key.last_index,
            "origin": self.origin,
        }
