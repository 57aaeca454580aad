"""An export: rows as one file, zipped with a signed manifest and the log's head."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lucid import csv_answer
from lucid.zip_stream import ZipStream
from receipts import manifest
from receipts.bundle import About, SignedHead, listed, sealed

CSV, JSONL = "csv", "jsonl"

# A number of rows, and what they look like in the file.
Chunk = tuple[int, bytes]

README = """\
An export of {kind} from the log {origin}

  {name}
      The {kind}, {rows}, in the order in which they were recorded. The filters
      that they pass are in manifest.json.
  manifest.json
      What was asked for, by whom and when; how many rows there are, and the SHA-256 of
      every file.
  manifest.sig
      The log's signature on the manifest, a C2SP signed note.
  checkpoint.txt
      The head of the log at the time of the export, signed by the log. Rows that were
      added later are not in the export.
  keys.txt, keys.json
      The keys whose signatures count on receipts.

Times are UTC (ISO 8601), amounts are US cents with every decimal that they have. In
CSV, text that a spreadsheet would take for a formula has an apostrophe before it.

That these rows are all that pass the filters is the word of the server, which has
signed it. What a receipt proves is checked with its proof: export receipts "with
proofs", or take the evidence of one receipt or orchestration from its page.
"""


class ExportBroke(RuntimeError):
    """There are not as many rows as were counted: the zip is left without its end."""


@dataclass(frozen=True)
class Content:
    kind: str  # receipts, or inferences
    format: str
    count: int
    chunks: Iterable[Chunk]

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.format}"


def pack(content: Content, head: SignedHead, about: About) -> Iterator[bytes]:
    """Return the zip piece by piece; raises ExportBroke in the midst of it."""
    zipped, digest, rows, size = ZipStream(), hashlib.sha256(), 0, 0
    with zipped.file(content.name) as file:
        for count, data in content.chunks:
            file.write(data)
            digest.update(data)
            rows, size = rows + count, size + len(data)
            if zipped.has_piece():
                yield zipped.take()
    if rows != content.count:
        raise ExportBroke(f"{rows} rows instead of {content.count}")
    files = {content.name: {"sha256": digest.hexdigest(), "bytes": size}}
    for name, data in _beside(content, head):
        zipped.add(name, data)
        files[name] = listed(data)
    for name, data in sealed(_manifest(content, head, about), files, head):
        zipped.add(name, data)
    zipped.close()
    yield zipped.take()


def _beside(content: Content, head: SignedHead) -> list[tuple[str, bytes]]:
    text = README.format(
        kind=content.kind,
        origin=head.origin,
        name=content.name,
        rows="one to a line" if content.format == JSONL else "one to a row",
    )
    return [
        (manifest.README, text.encode()),
        (manifest.CHECKPOINT, head.checkpoint.encode()),
        (manifest.KEY_SET, head.key_set.encode()),
        (manifest.JWKS, head.jwks_text()),
    ]


def _manifest(content: Content, head: SignedHead, about: About) -> dict[str, Any]:
    return {
        "schema_version": manifest.SCHEMA_VERSION,
        "kind": content.kind,
        "format": content.format,
        **about.as_json(),
        "log": head.as_json(),
        "counts": {content.kind: content.count},
    }


def as_csv(
    head: Sequence[str], chunks: Iterable[Sequence[Sequence[Any]]]
) -> Iterator[Chunk]:
    """Return the head, then each chunk of rows, as CSV."""
    yield 0, next(csv_answer.lines(head, [])).encode()
    for rows in chunks:
        text = "".join(islice(csv_answer.lines(head, rows), 1, None))
        yield len(rows), text.encode()
