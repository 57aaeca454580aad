"""The manifest of an evidence bundle or an export, and the note that signs it.

The manifest is JSON and names every other file with its SHA-256. A note by the log's
own key names the manifest:

    <origin>/manifest
    lucid-manifest/v1
    sha256 <lowercase hex SHA-256 of manifest.json>

The second line keeps it apart from a checkpoint, where a decimal stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lucid.api import strict_json

VERSION = "lucid-manifest/v1"
NAME_SUFFIX = "/manifest"
SCHEMA_VERSION = "1.0"
EVIDENCE = "evidence"

# Names of files beside the receipts and their proofs.
README = "README.txt"
VERIFIER = "verify.py"
CHECKPOINT = "checkpoint.txt"
KEY_SET = "keys.txt"
JWKS = "keys.json"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
LISTED = (README, VERIFIER, CHECKPOINT, KEY_SET, JWKS)

_NOTE = re.compile(rf"([^\n]+){NAME_SUFFIX}\n{VERSION}\nsha256 ([0-9a-f]{{64}})\n")
_HEX = re.compile("[0-9a-f]{64}")


class ManifestError(ValueError):
    """Not a manifest of evidence."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says, and no more than that: `files` is SHA-256 in hex by name,
    `root` hex, `vkeys` the keys that have signed the note.
    """

    origin: str
    size: int
    root: str
    vkeys: tuple[str, ...]
    receipts: int
    files: dict[str, str]
    made_at: str


def receipt_name(index: int) -> str:
    return f"receipts/{index}.json"


def proof_name(index: int) -> str:
    return f"proofs/{index}.tlog-proof"


def note_text(origin: str, sha256: str) -> str:
    return f"{origin}{NAME_SUFFIX}\n{VERSION}\nsha256 {sha256}\n"


def parse_note(text: str) -> tuple[str, str]:
    """Return the origin and the manifest's SHA-256; raises ManifestError."""
    match = _NOTE.fullmatch(text)
    if match is None:
        raise ManifestError(f"not a {VERSION}")
    return match[1], match[2]


def parse(data: bytes) -> Manifest:
    """Read the manifest of an evidence bundle; raises ManifestError or InvalidJSON."""
    document = strict_json.loads(data)
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind != EVIDENCE:
        raise ManifestError(f"a manifest of {kind!r:.40}, not of {EVIDENCE!r}")
    if document.get("schema_version") != SCHEMA_VERSION:
        raise ManifestError(f"not of schema_version {SCHEMA_VERSION}")
    log = _member(document, "log", dict)
    files = _member(document, "files", dict)
    vkeys = _member(log, "vkeys", list)
    if not all(isinstance(vkey, str) for vkey in vkeys):
        raise ManifestError("a vkey is a string")
    return Manifest(
        origin=_member(log, "origin", str),
        size=_member(log, "size", int),
        root=_member(log, "root", str),
        vkeys=tuple(vkeys),
        receipts=_member(_member(document, "counts", dict), "receipts", int),
        files={name: _sha256(name, file) for name, file in files.items()},
        made_at=_member(document, "made_at", str),
    )


def _member(document: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = document.get(name)
    if type(value) is not kind:
        raise ManifestError(f"{name} is not given as {kind.__name__}")
    return value


def _sha256(name: str, file: object) -> str:
    digest = file.get("sha256") if isinstance(file, dict) else None
    if not isinstance(digest, str) or not _HEX.fullmatch(digest):
        raise ManifestError(f"no SHA-256 is given of {name!r:.80}")
    return digest
