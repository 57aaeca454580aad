"""Evidence bundles, made of a small log from fixed seeds, and taken apart."""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from uuid import UUID

from receipts import canonical, manifest, merkle
from receipts.bundle import About, Leaf, SignedHead, pack
from tests.receipts.small_log import SmallLog

MADE = About("2026-11-26T14:03:00Z", "auditor@example.com", {"model": "gpt-4o"})
LOG = SmallLog()
INDEXES = (1, 3, 6)
Files = dict[str, bytes]


def head(log: SmallLog = LOG, **changed) -> SignedHead:
    known = {
        "origin": log.origin,
        "size": log.size,
        "root": merkle.tree_root(log.leaf_hashes()).hex(),
        "checkpoint": log.checkpoint(),
        "key_set": log.signed(log.key_set().text()),
        "jwks": log.jwks(),
        "vkeys": [log.vkey],
        "sign": log.signed,
    }
    return SignedHead(**(known | changed))


def leaves(log: SmallLog = LOG, indexes=INDEXES) -> list[Leaf]:
    return [
        Leaf(
            index,
            UUID(int=index),
            canonical.dumps(log.entries[index]),
            tuple(log.path(index)),
        )
        for index in indexes
    ]


def bundle(log: SmallLog = LOG, indexes=INDEXES, **changed) -> bytes:
    return b"".join(pack(head(log, **changed), leaves(log, indexes), MADE))


def unpacked(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Files, **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def resealed(files: Files, log: SmallLog = LOG, /, **members) -> Files:
    """Have the log sign a manifest of the files as they are: a hostile operator."""
    document = json.loads(files[manifest.MANIFEST]) | members
    document["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
        if name not in {manifest.MANIFEST, manifest.SIGNATURE}
    }
    data = json.dumps(document).encode()
    text = manifest.note_text(log.origin, hashlib.sha256(data).hexdigest())
    return files | {
        manifest.MANIFEST: data,
        manifest.SIGNATURE: log.signed(text).encode(),
    }


def unpack_into(folder: Path, data: bytes) -> Path:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder
