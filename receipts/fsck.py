"""fsck of a log: everything it holds, derived again from the stored entries.

Entries in order first: canonical form, hash, signature, key, and the columns that
lists filter by. Then the tree over them: full tiles, frontier, root, and the
signed checkpoint. The first thing wrong is named (LEDGER section 3).

An entry by a key that was revoked since is not wrong: it was signed and logged as
it stands, and its verdict is KEY_REVOKED. Such entries are told of, each by its index.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from receipts import canonical, checkpoint, ed25519, note, verifier
from receipts.key_publication import key_set_of
from receipts.key_set import KeySet
from receipts.merkle import Frontier, leaf_hash, tree_root
from receipts.models import Log, Receipt, SigningKey, Tile
from receipts.note import VerifierKey
from receipts.storage import CLAIM_COLUMNS
from receipts.tiles import TILE_WIDTH
from receipts.verifier import Verdict

CHUNK = 1024  # entries handed to a process at a time
TILES_AT_ONCE = 64  # half a megabyte
NAMED_COLUMNS = (
    "run_id",
    "receipt_type",
    "timestamp",
    "issued_at",
    "signer_kid",
    *CLAIM_COLUMNS,
)
COLUMNS = ("leaf_index", "entry", "leaf_hash", "receipt_hash", *NAMED_COLUMNS)

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The first thing wrong: where, the verdict it amounts to, and what it is."""

    place: str
    verdict: Verdict
    detail: str


class _Wrong(Exception):
    def __init__(self, place: str, verdict: Verdict, detail: str) -> None:
        super().__init__(detail)
        self.finding = Finding(place, verdict, detail)


def check_log(
    log_id: int,
    advance: Callable[[int], Any],
    note_revoked: Callable[[int], Any] = lambda index: None,
) -> Finding | None:
    """Check a log as it is now; `advance` hears of each number of entries done, and
    `note_revoked` of the index of each sound entry whose key was revoked before it.
    """
    # Highest entry first, head second: whatever is appended meanwhile, a head read
    # later covers it.
    highest = Receipt.objects.filter(log_id=log_id).order_by("-leaf_index").first()
    log = Log.objects.get(pk=log_id)
    try:
        if highest and highest.leaf_index >= log.size:
            raise _wrong_entry(highest.leaf_index, "beyond the head of the log")
        frontier = _check_entries(log, advance, note_revoked)
        _check_head(log, frontier)
    except _Wrong as wrong:
        return wrong.finding
    return None


def _wrong_entry(index: int, detail: str) -> _Wrong:
    return _Wrong(f"entry {index}", Verdict.INVALID, detail)


def _check_entries(
    log: Log, advance: Callable[[int], Any], note_revoked: Callable[[int], Any]
) -> Frontier:
    """Check entries and tiles in order; return the frontier over the entries."""
    keys = key_set_of(log)
    tree = _Tree(log)
    # Most of the work is Ed25519, so each core gets a process. They are forked
    # before the reading starts and never touch the database.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        pending = []
        for chunk in _chunks(log):
            pending.append((chunk, pool.submit(_check_chunk, chunk, keys)))
            if len(pending) > 2 * (os.cpu_count() or 1):
                _settle(*pending.pop(0), tree, advance, note_revoked)
        for chunk, outcome in pending:
            _settle(chunk, outcome, tree, advance, note_revoked)
    if tree.size != log.size:
        raise _wrong_entry(tree.size, f"missing; the head has size {log.size}")
    return tree.frontier


def _chunks(log: Log) -> Iterator[list[Row]]:
    rows = Receipt.objects.filter(
        tenant_id=log.tenant_id, log=log, leaf_index__lt=log.size
    )
    ordered = rows.order_by("leaf_index").values_list(*COLUMNS)
    following = ordered
    while chunk := list(following[:CHUNK]):
        following = ordered.filter(leaf_index__gt=chunk[-1][0])
        # SQLite and PostgreSQL differ in how they hand out bytes; a pipe wants one.
        yield [(row[0], *map(bytes, row[1:4]), *row[4:]) for row in chunk]


def _settle(
    chunk: list[Row],
    outcome: Any,
    tree: "_Tree",
    advance: Callable[[int], Any],
    note_revoked: Callable[[int], Any],
) -> None:
    finding, revoked = outcome.result()
    for row in chunk:
        if row[0] != tree.size:
            raise _wrong_entry(tree.size, "missing")
        if finding and finding[0] == row[0]:
            raise _Wrong(f"entry {row[0]}", finding[1], finding[2])
        tree.append(row[2])
    for index in revoked:
        note_revoked(index)
    advance(len(chunk))


def _check_chunk(
    chunk: list[Row], keys: KeySet
) -> tuple[tuple[int, Verdict, str] | None, list[int]]:
    """Return index, verdict and detail of the first wrong entry of a chunk, and the
    indexes of sound ones by a key that was revoked before them.
    """
    revoked: list[int] = []
    for index, entry, *stored in chunk:
        members = _valid_members(entry, keys, index)
        if members is None:
            result = verifier.check_entry(entry, keys, index)
            members = _members_by_revoked_key(entry, result.verdict, keys, index)
            if members is None:
                return (index, result.verdict, result.steps[-1].detail), revoked
            revoked.append(index)
        if detail := _difference(members, entry, stored):
            return (index, Verdict.INVALID, detail), revoked
    return None, revoked


def _members_by_revoked_key(
    entry: bytes, verdict: Verdict, keys: KeySet, index: int
) -> dict[str, Any] | None:
    """Return the members where nothing but a revocation speaks against the entry.

    An index beyond the range of a key that only was retired is another matter: no
    log signs with such a key.
    """
    if verdict != Verdict.KEY_REVOKED:
        return None
    members: dict[str, Any] = json.loads(entry)
    key = keys.find(members["signer_kid"])
    return members if key and key.is_revoked_at(index) else None


def _difference(members: dict[str, Any], entry: bytes, stored: list[Any]) -> str:
    """Say which column beside the entry is not the entry's; "" when all are."""
    stored_leaf, stored_hash, *named = stored
    if leaf_hash(entry) != stored_leaf:
        return "the stored leaf hash is of other bytes"
    if members["receipt_hash"] != stored_hash.hex():
        return "the stored receipt hash is another"
    for name, value in zip(NAMED_COLUMNS, named, strict=True):
        if members.get(name, "") != value:
            return f"the column {name} is not the entry's"
    return ""


def _valid_members(entry: bytes, keys: KeySet, index: int) -> dict[str, Any] | None:
    """Return the members of a valid entry; None when the verifier has to say more.

    Accepts nothing that verifier.check_entry would refuse, at half its cost: bytes
    that a canonical writer reproduces need no strict reading.
    """
    try:
        members = json.loads(entry)
        if not isinstance(members, dict):
            return None
        written = canonical.fragments(members)
        if canonical.assemble(written) != entry:
            return None
        key = keys.find(members["signer_kid"])
        body = {n: text for n, text in written.items() if n not in verifier.SEAL}
        digest = hashlib.sha256(canonical.assemble(body)).digest()
        signature = bytes.fromhex(members["receipt_signature"])
        valid = (
            key is not None
            and key.counts_at(index)
            and members["receipt_hash"] == digest.hex()
            and members["receipt_signature"] == signature.hex()
            and members["signer_pubkey"] == key.base58
            and ed25519.verify(key.public_key, digest, signature)
        )
    except (ValueError, KeyError, TypeError):
        return None
    return members if valid else None


class _Tree:
    """The tree over the entries seen so far, compared with the tiles as they fill."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._rows: list[list[bytes]] = []  # the unfinished tile of each level
        self._filled: list[int] = []  # how many tiles of each level are full
        self._stored: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.size = 0
        self.frontier = Frontier()
        self._recent: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        self.size += 1
        self._recent.append(leaf)
        if len(self._recent) == TILE_WIDTH or self.size == self._log.size:
            self.frontier = self.frontier.append(self._recent)
            self._recent = []
        self._add(0, leaf)

    def _add(self, level: int, node: bytes) -> None:
        if level == len(self._rows):
            self._rows.append([])
            self._filled.append(0)
        row = self._rows[level]
        row.append(node)
        if len(row) < TILE_WIDTH:
            return
        root = tree_root(row)
        self._compare(level, self._filled[level], b"".join(row), root)
        self._filled[level] += 1
        row.clear()
        self._add(level + 1, root)

    def _compare(self, level: int, index: int, hashes: bytes, root: bytes) -> None:
        place = f"tile {level}/{index}"
        if (level, index) not in self._stored:
            self._read_tiles(level, index)
        stored = self._stored.pop((level, index), None)
        if stored is None:
            raise _Wrong(place, Verdict.INVALID, "missing")
        if stored != (hashes, root):
            raise _Wrong(place, Verdict.INVALID, "not what its entries make")

    def _read_tiles(self, level: int, start: int) -> None:
        tiles = Tile.objects.filter(
            tenant_id=self._log.tenant_id,
            log=self._log,
            level=level,
            index__gte=start,
            index__lt=start + TILES_AT_ONCE,
        )
        for index, hashes, root in tiles.values_list("index", "hashes", "root"):
            self._stored[level, index] = bytes(hashes), bytes(root)


def _check_head(log: Log, frontier: Frontier) -> None:
    if bytes(log.frontier) != frontier.to_bytes():
        raise _Wrong("head", Verdict.INVALID, "the frontier is not what entries make")
    if bytes(log.root) != frontier.root():
        raise _Wrong("head", Verdict.INVALID, "the root is not what entries make")
    if finding := check_checkpoint(log):
        raise _Wrong(finding.place, finding.verdict, finding.detail)


def check_checkpoint(log: Log) -> Finding | None:
    """Check the newest checkpoint against the log's row and its stored keys."""
    rows = SigningKey.objects.filter(
        tenant_id=log.tenant_id, mode=log.mode, purpose=SigningKey.Purpose.CHECKPOINT
    )
    keys = {VerifierKey.of(log.origin, bytes(row.public_key)): row for row in rows}
    try:
        opened = note.open_note(log.checkpoint, keys)
        head = checkpoint.parse(opened.text)
    except ValueError as error:
        return Finding("checkpoint", Verdict.INVALID, str(error))
    if (head.origin, head.size, head.root) != (log.origin, log.size, bytes(log.root)):
        return Finding("checkpoint", Verdict.INCONSISTENT, "it is of another tree")
    signed = {signature.key_id for signature in opened.verified}
    signers = [row for key, row in keys.items() if key.key_id in signed]
    if not any(row.vouches_for(head.size) for row in signers):
        detail = f"only revoked keys have signed it: {', '.join(map(str, signers))}"
        return Finding("checkpoint", Verdict.KEY_REVOKED, detail)
    return None
