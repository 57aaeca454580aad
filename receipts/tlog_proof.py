"""C2SP tlog-proof: one file that proves, offline, that an entry is in a log."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from receipts.checkpoint import parse_decimal
from receipts.merkle import HASH_BYTES
from receipts.note import decode_base64

HEADER = "c2sp.org/tlog-proof@v1"

# The inclusion proof in a tree of 2^63-1 leaves.
MAX_HASHES = 63


class TlogProofError(ValueError):
    """Not a tlog-proof, or not its one spelling."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """The inclusion proof of the entry at `index` under `checkpoint`.

    `hashes` (of 32 bytes) start with the leaf's sibling; `checkpoint` is a signed
    note, verbatim and not yet verified; nothing authenticates `extra`.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""

    def text(self) -> str:
        extra = [f"extra {_base64(self.extra)}"] if self.extra else []
        hashes = [_base64(item) for item in self.hashes]
        lines = [HEADER, *extra, f"index {self.index}", *hashes]
        return "\n".join(lines) + f"\n\n{self.checkpoint}"


def parse(text: str) -> TlogProof:
    """Read a .tlog-proof; raises TlogProofError. The checkpoint is not looked at."""
    head, _, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != HEADER or not checkpoint:
        raise TlogProofError(f"not a {HEADER}")
    try:
        extra = decode_base64(_take(lines, "extra ")) if _has_extra(lines) else b""
        index = parse_decimal(_take(lines, "index "))
        hashes = tuple(map(decode_base64, lines))
    except ValueError as error:
        raise TlogProofError(f"malformed tlog-proof: {error}") from error
    if len(hashes) > MAX_HASHES or any(len(item) != HASH_BYTES for item in hashes):
        raise TlogProofError(f"a proof is at most {MAX_HASHES} SHA-256 hashes")
    parsed = TlogProof(index, hashes, checkpoint, extra)
    if parsed.text() != text:  # an empty extra line, which is to be left out
        raise TlogProofError("not the one spelling of this tlog-proof")
    return parsed


def _has_extra(lines: list[str]) -> bool:
    return bool(lines) and lines[0].startswith("extra ")


def _take(lines: list[str], keyword: str) -> str:
    if not lines or not lines[0].startswith(keyword):
        raise ValueError(f"no line with {keyword.strip()!r}")
    return lines.pop(0).removeprefix(keyword)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
