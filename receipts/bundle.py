"""What an evidence bundle is made of, whoever has read its parts (LEDGER section 3)."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from lucid.zip_stream import FILE, PROGRAM, ZipStream
from receipts import manifest, one_file
from receipts.bundle_readme import readme
from receipts.tlog_proof import TlogProof


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A log at one size, with what it has signed of it: `root` in hex, notes as text.

    `sign` makes a note of a text, with the keys of `vkeys`.
    """

    origin: str
    size: int
    root: str
    checkpoint: str
    key_set: str
    jwks: dict[str, Any]
    vkeys: list[str]
    sign: Callable[[str], str]

    def jwks_text(self) -> bytes:
        return _json(self.jwks)

    def as_json(self) -> dict[str, Any]:
        names = ("origin", "size", "root", "vkeys")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry of the log, in its very bytes, and the proof of its place."""

    index: int
    receipt_id: UUID
    entry: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class About:
    """What a manifest says of how the files came to be."""

    made_at: str  # ISO 8601, UTC
    made_by: str
    filters: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "made_at": self.made_at,
            "made_by": self.made_by,
            "filters": self.filters,
        }


def pack(head: SignedHead, leaves: Iterable[Leaf], about: About) -> Iterator[bytes]:
    """Return the zip piece by piece: the receipts first, and at its end the manifest.

    Of each receipt an id and two hashes are remembered, and no more.
    """
    files = _Files()
    receipts = []
    for name, data in _fixed(head):
        files.add(name, data)
    for leaf in leaves:
        files.add(manifest.receipt_name(leaf.index), leaf.entry)
        proof = TlogProof(leaf.index, leaf.proof, head.checkpoint)
        files.add(manifest.proof_name(leaf.index), proof.text().encode())
        receipts.append((leaf.index, leaf.receipt_id))
        if files.zip.has_piece():
            yield files.zip.take()
    document = {
        "schema_version": manifest.SCHEMA_VERSION,
        "kind": manifest.EVIDENCE,
        **about.as_json(),
        "log": head.as_json(),
        "counts": {"receipts": len(receipts)},
        "receipts": [
            {"leaf_index": index, "receipt_id": str(receipt_id)}
            for index, receipt_id in receipts
        ],
    }
    files.sign(document, head)
    yield files.zip.take()


def sealed(
    document: dict[str, Any], files: dict[str, Any], head: SignedHead
) -> list[tuple[str, bytes]]:
    """Return the manifest with the files that it names, and the note that signs it."""
    data = _json(document | {"files": files})
    digest = hashlib.sha256(data).hexdigest()
    note = head.sign(manifest.note_text(head.origin, digest))
    return [(manifest.MANIFEST, data), (manifest.SIGNATURE, note.encode())]


def listed(data: bytes) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _fixed(head: SignedHead) -> list[tuple[str, bytes]]:
    return [
        (manifest.README, readme(head.origin, head.vkeys)),
        (manifest.VERIFIER, one_file.source()),
        (manifest.CHECKPOINT, head.checkpoint.encode()),
        (manifest.KEY_SET, head.key_set.encode()),
        (manifest.JWKS, head.jwks_text()),
    ]


class _Files:
    def __init__(self) -> None:
        self.zip = ZipStream()
        self._listed: dict[str, Any] = {}

    def add(self, name: str, data: bytes) -> None:
        self.zip.add(name, data, PROGRAM if name == manifest.VERIFIER else FILE)
        self._listed[name] = listed(data)

    def sign(self, document: dict[str, Any], head: SignedHead) -> None:
        for name, data in sealed(document, self._listed, head):
            self.zip.add(name, data)
        self.zip.close()


def _json(document: dict[str, Any]) -> bytes:
    return f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode()
