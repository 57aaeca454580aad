"""What the ledger's transaction reads and writes, and the ORM's way of doing it.

A transaction reads once, under the locks on the logs' rows, and writes once.
`receipts.postgres` does the same in two round trips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from lucid.api.idempotency import Claim
from lucid.api.models import IdempotentAnswer
from lucid.columns import BIGINT, BYTEA, SMALLINT, TEXT, TIME, UUID_, Columns
from receipts.models import Log, Receipt, Tile
from receipts.rows import Find, Row, Write, change, insert
from tenants.models import Tenant

RunKey = tuple[int, str]  # log id, run_id


@dataclass(frozen=True, slots=True)
class Head:
    """A log's row as the transaction found and locked it."""

    log_id: int
    tenant_id: UUID
    size: int
    frontier: bytes
    keyring_version: int


@dataclass(frozen=True, slots=True)
class Stored:
    receipt_id: UUID
    leaf_index: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    fingerprint: bytes
    status: int
    body: bytes


@dataclass(slots=True)
class Lookup:
    """What a transaction must know before it writes.

    Looking replays up costs as much as an insert, and hardly any run is one. So
    `run_ids` are given when it is known that there is a replay among them.
    """

    tenants: dict[int, UUID]  # log id -> tenant id
    run_ids: list[RunKey]
    claims: list[Claim]
    more: list[tuple[Find, Sequence[Row]]] = field(default_factory=list)

    def run_keys(self) -> list[tuple[UUID, int, str]]:
        return [(self.tenants[log], log, run_id) for log, run_id in self.run_ids]

    def claim_identities(self) -> list[tuple[UUID, str, str, str]]:
        return [claim.identity for claim in self.claims]


@dataclass(slots=True)
class Found:
    heads: dict[int, Head]
    receipts: dict[RunKey, Stored]
    answers: dict[tuple[UUID, str, str, str], Answer]
    more: list[list[Row]] = field(default_factory=list)  # for each Find


@dataclass(slots=True)
class Changes:
    """Rows to write; each is a tuple in the order of its table's columns below."""

    receipts: list[tuple[Any, ...]] = field(default_factory=list)
    tiles: list[tuple[Any, ...]] = field(default_factory=list)
    heads: list[tuple[Any, ...]] = field(default_factory=list)
    answers: list[tuple[Any, ...]] = field(default_factory=list)
    more: list[tuple[Write, Sequence[Row]]] = field(default_factory=list)

    def writes(self) -> list[tuple[Write, Sequence[Row]]]:
        """Return all that there is to write, the receipts first."""
        own = [
            (RECEIPTS, self.receipts),
            (TILES, self.tiles),
            (ANSWERS, self.answers),
            (HEADS, self.heads),
        ]
        return [(write, rows) for write, rows in [*own, *self.more] if rows]


CLAIM_COLUMNS: Columns = {
    "model_passport_id": TEXT,
    "compute_passport_id": TEXT,
    "policy_hash": TEXT,
    "runtime": TEXT,
    "trace_id": TEXT,
    "model": TEXT,
    "provider": TEXT,
    "agent_id": TEXT,
    "orchestration_id": TEXT,
}
RECEIPT_COLUMNS: Columns = {
    "id": UUID_,
    "tenant_id": UUID_,
    "log_id": BIGINT,
    "leaf_index": BIGINT,
    "entry": BYTEA,
    "leaf_hash": BYTEA,
    "receipt_hash": BYTEA,
    "run_id": TEXT,
    "receipt_type": TEXT,
    "timestamp": BIGINT,
    "issued_at": BIGINT,
    "signer_kid": TEXT,
    **CLAIM_COLUMNS,
}
TILE_COLUMNS: Columns = {
    "tenant_id": UUID_,
    "log_id": BIGINT,
    "level": SMALLINT,
    "index": BIGINT,
    "hashes": BYTEA,
    "root": BYTEA,
}
HEAD_COLUMNS: Columns = {
    "size": BIGINT,
    "root": BYTEA,
    "frontier": BYTEA,
    "checkpoint": TEXT,
}
LOG_ID: Columns = {"id": BIGINT}
ANSWER_COLUMNS: Columns = {
    "tenant_id": UUID_,
    "mode": TEXT,
    "endpoint": TEXT,
    "key": TEXT,
    "fingerprint": BYTEA,
    "status": SMALLINT,
    "body": BYTEA,
    "created_at": TIME,
}


RECEIPTS = insert("receipts_receipt", RECEIPT_COLUMNS)
TILES = insert("receipts_tile", TILE_COLUMNS)
ANSWERS = insert("api_idempotentanswer", ANSWER_COLUMNS)
HEADS = change("set_heads", "receipts_log", HEAD_COLUMNS, LOG_ID)


class RunIdTaken(Exception):
    """A run_id stands, or may stand, in the log: `read` was not asked to look."""


class NotRead(Exception):
    """What is asked for is known only to a transaction that has read."""


class Transaction(Protocol):
    """Begun by entering it; what `commit` was not called for is rolled back.

    `commit` raises RunIdTaken when it meets a replay that `read` did not look for.
    """

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None: ...
    def read(self, lookup: Lookup) -> Found: ...
    def row(self, log_id: int, level: int, start: int, stop: int) -> list[bytes]:
        """Return hashes of a tile level: leaf hashes, or roots of the tiles below."""
        ...

    def commit(self, changes: Changes) -> None: ...


class OrmTransaction:
    """On this thread's own connection, in portable SQL."""

    def __enter__(self) -> Self:
        self._atomic = transaction.atomic(durable=True)
        self._atomic.__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._atomic.__exit__(kind, error, traceback)

    def read(self, lookup: Lookup) -> Found:
        logs = Log.objects.select_for_update().filter(pk__in=lookup.tenants)
        rows = list(logs.order_by("pk"))
        versions = dict(
            Tenant.objects.filter(pk__in=lookup.tenants.values()).values_list(
                "pk", "keyring_version"
            )
        )
        heads = {
            log.pk: Head(
                log.pk,
                log.tenant_id,
                log.size,
                bytes(log.frontier),
                versions[log.tenant_id],
            )
            for log in rows
        }
        more = [find.portably(keys) for find, keys in lookup.more]
        return Found(heads, self._receipts(lookup), self._answers(lookup.claims), more)

    @staticmethod
    def _receipts(lookup: Lookup) -> dict[RunKey, Stored]:
        wanted: dict[int, list[str]] = {}
        for log_id, run_id in lookup.run_ids:
            wanted.setdefault(log_id, []).append(run_id)
        return {
            (log_id, receipt.run_id): Stored(
                receipt.pk, receipt.leaf_index, bytes(receipt.entry)
            )
            for log_id, run_ids in wanted.items()
            for receipt in Receipt.objects.filter(
                tenant_id=lookup.tenants[log_id], log_id=log_id, run_id__in=run_ids
            )
        }

    @staticmethod
    def _answers(claims: list[Claim]) -> dict[tuple[UUID, str, str, str], Answer]:
        if not claims:
            return {}
        any_of = Q()
        for claim in claims:
            any_of |= Q(
                tenant_id=claim.tenant_id,
                mode=claim.mode,
                endpoint=claim.endpoint,
                key=claim.key,
            )
        return {
            (row.tenant_id, row.mode, row.endpoint, row.key): Answer(
                bytes(row.fingerprint), row.status, bytes(row.body)
            )
            for row in IdempotentAnswer.objects.filter(any_of)
        }

    def row(self, log_id: int, level: int, start: int, stop: int) -> list[bytes]:
        if level == 0:
            hashes = Receipt.objects.filter(
                log_id=log_id, leaf_index__gte=start, leaf_index__lt=stop
            ).order_by("leaf_index")
            return [bytes(h) for h in hashes.values_list("leaf_hash", flat=True)]
        roots = Tile.objects.filter(
            log_id=log_id, level=level - 1, index__gte=start, index__lt=stop
        ).order_by("index")
        return [bytes(h) for h in roots.values_list("root", flat=True)]

    def commit(self, changes: Changes) -> None:
        for write, rows in changes.writes():
            try:
                write.portably(rows)
            except IntegrityError as error:
                if write is RECEIPTS:
                    raise RunIdTaken from error
                raise
