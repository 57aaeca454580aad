"""The write path: signed entries become durable, indexed and checkpointed at once.

`append` is the only way into a log. Each batch is one transaction: it locks the
logs' rows, drops replays, gives out contiguous indexes, and writes receipts, full
tiles, the new heads with their signed checkpoints, the answers to Idempotency-Keys,
and whatever rows belong with a receipt (LEDGER section 2, "The write path").
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from lucid.api.errors import DATABASE_UNAVAILABLE
from lucid.api.idempotency import Claim
from lucid.group_commit import GroupCommit, TimedOut
from lucid.isolation import working_for
from receipts.entry import Entry
from receipts.keyring import Keyring
from receipts.merkle import Frontier, tree_root
from receipts.postgres import PostgresTransaction
from receipts.quiet_logs import QuietLogs
from receipts.rows import Find, Row, Write
from receipts.storage import (
    CLAIM_COLUMNS,
    Answer,
    Changes,
    Found,
    Head,
    Lookup,
    NotRead,
    OrmTransaction,
    RunIdTaken,
    Transaction,
)
from receipts.tiles import TILE_WIDTH

logger = logging.getLogger(__name__)

# Submissions in one transaction: few enough that the first waits under 50 ms.
BATCH_LIMIT = 256


class LedgerUnavailable(Exception):
    """Nobody can say that the entries are durable; the caller may try again."""


class StaleKeyring(Exception):
    """Keys or rights of the tenant changed since the entries were signed."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry and its place. A replay is an entry that was there before."""

    receipt_id: UUID
    leaf_index: int
    members: dict[str, Any]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """The run_id stands in the log with other content."""

    run_id: str


Result = Logged | Conflict


class Page(Protocol):
    """What a batch does to one log, as its books see it."""

    @property
    def keyring(self) -> Keyring: ...
    def place(self, entry: Entry) -> Result:
        """Give the entry its index, or find that its run_id has one.

        Raises RunIdTaken when that run_id may be a replay, and was not looked up.
        """
        ...

    def replay_of(self, entry: Entry) -> Result | None:
        """Return what `place` would of a run_id that is in the log, None of others.

        Raises RunIdTaken when it was not looked up.
        """
        ...


class Books(Protocol):
    """Rows of another app that a batch reads and writes along with its entries.

    Made anew for every try at a batch, and for all of its submissions that name
    this kind of books. Under the locks of the transaction nothing else writes what
    belongs to the same log, so what `take` is given stays true to the end.
    """

    def lookups(self, works: Sequence[Any]) -> list[tuple[Find, Sequence[Row]]]:
        """Return what has to be read for these."""
        ...

    def take(self, found: list[list[Row]]) -> None:
        """Note the rows found, for each look-up in turn."""
        ...

    def keep(self, work: Any, page: Page) -> list[Any]:
        """Place the entries of a submission; return its results."""
        ...

    def writes(self) -> list[tuple[Write, Sequence[Row]]]: ...

    def recall(self, works: Sequence[Any]) -> bool:
        """Do without a look, from what this process remembers, if that will do.

        Then `writes` has to fail the transaction if anything is not as remembered
        (`receipts.rows.change_expected`). PostgreSQL only.
        """
        ...

    def remember(self) -> None:
        """Note that what was written is durable."""
        ...


@dataclass(slots=True)
class Submission:
    """Entries of one request, all for one log, durable together or not at all.

    With a `claim`, the answer (status, body) that `render` makes of the results is
    stored with them, unless it is an error. After `append`, either `results` or
    `answer` is there.

    With `books`, `work` says what is to be kept in them, and they place the entries:
    `entries` are those that are known beforehand, of which replays are looked up.
    """

    keyring: Keyring
    entries: list[Entry]
    claim: Claim | None = None
    render: Callable[[list[Any]], tuple[int, bytes]] | None = None
    books: type[Books] | None = None
    work: Any = None
    results: list[Any] = field(default_factory=list)
    answer: Answer | None = None  # of the first request with this claim
    error: Exception | None = None


def append(submission: Submission) -> Submission:
    """Return the submission, its results durable.

    Raises LedgerUnavailable, or StaleKeyring when entries have to be signed anew.
    """
    try:
        _group.submit(submission, settings.LUCID_APPEND_TIMEOUT)
    except TimedOut as error:
        raise LedgerUnavailable from error
    if submission.error:
        raise submission.error
    return submission


def append_alone(submission: Submission, along: Callable[[], None]) -> Submission:
    """As `append`, in a transaction of its own, on this thread's connection.

    `along` is called when the results are known, under the lock on the log's row:
    what it writes is durable together with the entries, and what it raises undoes
    both. For what is rare: nothing of another request is in the same transaction.
    """
    try:
        with OrmTransaction() as transaction:
            found = transaction.read(_lookup([submission], replays=False))
            plan = _Plan(found, transaction)
            plan.place(submission)
            if submission.error:
                raise submission.error
            transaction.commit(plan.changes())
            along()
    except DATABASE_UNAVAILABLE as error:
        raise LedgerUnavailable from error
    return submission


def _commit(batch: Sequence[Submission]) -> None:
    """Write a batch; should it fail, find the bad member by writing each alone."""
    try:
        # Of whichever tenants: the thread is of one that waits, or of none.
        with working_for(*{submission.keyring.tenant_id for submission in batch}):
            _write(batch)
    except DATABASE_UNAVAILABLE as error:
        logger.error("batch of %d not written: %s", len(batch), error)
        for submission in batch:
            submission.error = LedgerUnavailable()
    except Exception as error:
        if len(batch) == 1:
            batch[0].error = error
            return
        logger.exception("batch of %d failed, writing one by one", len(batch))
        for submission in batch:
            _commit([submission])


_group = GroupCommit(_commit, BATCH_LIMIT)
_quiet_logs = QuietLogs()  # touched by whoever leads, one thread at a time


def _write(batch: Sequence[Submission]) -> None:
    """Write a batch as if every run_id were new; look replays up if one is not."""
    try:
        if not _write_unseen(batch):
            _transact(batch, replays=False)
    except RunIdTaken:
        _transact(batch, replays=True)


def _write_unseen(batch: Sequence[Submission]) -> bool:
    """Write to a log that only we write to, without a look at it first."""
    head = _quiet_logs.head_for(batch)
    if head is None:
        return False
    books = _new_books(batch)
    if not all(kept.recall(_works(batch, kind)) for kind, kept in books.items()):
        return False
    with PostgresTransaction() as transaction:
        plan = _Plan(Found({head.log_id: head}, {}, {}), transaction, books)
        for submission in batch:
            plan.place(submission)
        try:
            changes = plan.changes()
        except NotRead:  # books placed more than was foreseen, and a tile is full
            _quiet_logs.forget(head.log_id)
            return False
        # Refusals alone make no head, and are looked at twice before they are told.
        if not changes.heads or not transaction.commit_to(head, changes):
            _quiet_logs.forget(head.log_id)
            return False
    plan.remember()
    return True


def _transact(batch: Sequence[Submission], *, replays: bool) -> None:
    books = _new_books(batch)
    with _new_transaction() as transaction:
        lookup = _lookup(batch, replays)
        finds = {
            kind: kept.lookups(_works(batch, kind)) for kind, kept in books.items()
        }
        lookup.more = [find for group in finds.values() for find in group]
        found = transaction.read(lookup)
        rows = iter(found.more)
        for kind, group in finds.items():
            books[kind].take([next(rows) for _ in group])
        plan = _Plan(found, transaction, books, replays_known=replays)
        for submission in batch:
            plan.place(submission)
        transaction.commit(plan.changes())
    if connection.vendor == "postgresql":
        plan.remember()


def _new_transaction() -> Transaction:
    return (
        PostgresTransaction() if connection.vendor == "postgresql" else OrmTransaction()
    )


def _new_books(batch: Sequence[Submission]) -> dict[type[Books], Books]:
    return {kind: kind() for kind in dict.fromkeys(s.books for s in batch) if kind}


def _works(batch: Sequence[Submission], kind: type[Books]) -> list[Any]:
    return [submission.work for submission in batch if submission.books is kind]


def _lookup(batch: Sequence[Submission], replays: bool) -> Lookup:
    run_ids = [(s.keyring.log_id, e.run_id) for s in batch for e in s.entries]
    return Lookup(
        tenants={s.keyring.log_id: s.keyring.tenant_id for s in batch},
        run_ids=run_ids if replays else [],
        claims=[s.claim for s in batch if s.claim],
    )


class _Plan:
    """What a batch adds to each log, worked out under the locks."""

    def __init__(
        self,
        found: Found,
        transaction: Transaction,
        books: dict[type[Books], Books] | None = None,
        *,
        replays_known: bool = False,
    ) -> None:
        self._found = found
        self._transaction = transaction
        self._books = books or {}
        self._replays_known = replays_known
        self._growths: dict[int, _Growth] = {}
        self._answers: list[tuple[Any, ...]] = []

    def place(self, submission: Submission) -> None:
        """Set the submission's results, or the reason why it has none."""
        keyring, claim = submission.keyring, submission.claim
        head = self._found.heads.get(keyring.log_id)
        if head is None or head.keyring_version != keyring.version:
            submission.error = StaleKeyring()
            return
        if claim and (answer := self._found.answers.get(claim.identity)):
            submission.answer = answer
            return
        growth = self._growths.setdefault(
            head.log_id, _Growth(head, keyring, self._found, self._replays_known)
        )
        if submission.books:
            books = self._books[submission.books]
            submission.results = books.keep(submission.work, growth)
        else:
            submission.results = [growth.place(entry) for entry in submission.entries]
        if claim and submission.render:
            self._answer(claim, *submission.render(submission.results))

    def _answer(self, claim: Claim, status: int, body: bytes) -> None:
        if status >= 400:
            return
        # Found from now on, should the same request stand in this batch again.
        answer = Answer(claim.fingerprint, status, body)
        self._found.answers[claim.identity] = answer
        self._answers.append(
            (*claim.identity, claim.fingerprint, status, body, timezone.now())
        )

    def changes(self) -> Changes:
        changes = Changes(answers=self._answers)
        for growth in self._growths.values():
            if growth.entries:
                growth.write_to(changes, self._transaction)
        for books in self._books.values():
            changes.more += books.writes()
        return changes

    def remember(self) -> None:
        """Note what is durable now as the heads of the logs."""
        for growth in self._growths.values():
            _quiet_logs.wrote(growth.head, growth.grown)
        for books in self._books.values():
            books.remember()


class _Growth:
    """The entries that a batch adds to one log, a Page to books."""

    def __init__(
        self, head: Head, keyring: Keyring, found: Found, replays_known: bool
    ) -> None:
        self.head = head
        self.grown = head  # what write_to makes of it
        self.keyring = keyring
        self.entries: list[Entry] = []
        self._found = found
        self._replays_known = replays_known
        self._places: dict[str, int] = {}  # run_id -> position in entries

    def place(self, entry: Entry) -> Result:
        if earlier := self._earlier(entry):
            return earlier
        self._places[entry.run_id] = len(self.entries)
        self.entries.append(entry)
        return self._logged(len(self.entries) - 1)

    def replay_of(self, entry: Entry) -> Result | None:
        earlier = self._earlier(entry)
        if earlier is None and not self._replays_known:
            raise RunIdTaken
        return earlier

    def _earlier(self, entry: Entry) -> Result | None:
        run_id = entry.run_id
        if stored := self._found.receipts.get((self.head.log_id, run_id)):
            members = json.loads(stored.entry)
            earlier = Logged(stored.receipt_id, stored.leaf_index, members, True)
        elif (position := self._places.get(run_id)) is not None:
            earlier = self._logged(position, replayed=True)
        else:
            return None
        return earlier if entry.repeats(earlier.members) else Conflict(run_id)

    def _logged(self, position: int, replayed: bool = False) -> Logged:
        entry = self.entries[position]
        index = self.head.size + position
        return Logged(entry.receipt_id, index, entry.members, replayed)

    def write_to(self, changes: Changes, transaction: Transaction) -> None:
        leaf_hashes = [entry.leaf_hash for entry in self.entries]
        frontier = Frontier.from_bytes(self.head.size, self.head.frontier)
        frontier = frontier.append(leaf_hashes)
        self.grown = replace(
            self.head, size=frontier.size, frontier=frontier.to_bytes()
        )
        root = frontier.root()
        checkpoint = self.keyring.sign_checkpoint(frontier.size, root)
        changes.heads.append(
            (frontier.size, root, self.grown.frontier, checkpoint, self.head.log_id)
        )
        for index, entry in enumerate(self.entries, start=self.head.size):
            changes.receipts.append(self._row(index, entry))
        changes.tiles.extend(self._tiles(leaf_hashes, transaction))

    def _row(self, index: int, entry: Entry) -> tuple[Any, ...]:
        members = entry.members
        return (
            entry.receipt_id,
            self.head.tenant_id,
            self.head.log_id,
            index,
            entry.data,
            entry.leaf_hash,
            entry.receipt_hash,
            entry.run_id,
            members["receipt_type"],
            members["timestamp"],
            members["issued_at"],
            members["signer_kid"],
            *(members.get(name, "") for name in CLAIM_COLUMNS),
        )

    def _tiles(
        self, hashes: list[bytes], transaction: Transaction
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the tiles that the new leaf hashes fill, level by level."""
        log_id, tenant_id = self.head.log_id, self.head.tenant_id
        level, start = 0, self.head.size
        while (start + len(hashes)) // TILE_WIDTH > start // TILE_WIDTH:
            first = start // TILE_WIDTH  # the tile that was partial, or new
            begin = first * TILE_WIDTH
            if begin < start:
                hashes = [*transaction.row(log_id, level, begin, start), *hashes]
            count = len(hashes) // TILE_WIDTH
            tiles = [
                hashes[i * TILE_WIDTH : (i + 1) * TILE_WIDTH] for i in range(count)
            ]
            roots = [tree_root(tile) for tile in tiles]
            for index, (tile, root) in enumerate(zip(tiles, roots, strict=True), first):
                yield tenant_id, log_id, level, index, b"".join(tile), root
            level, start, hashes = level + 1, first, roots
