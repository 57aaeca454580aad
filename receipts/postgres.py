"""The ledger's transaction on PostgreSQL, pipelined into two round trips.

The locks and look-ups travel together, then all writes and the COMMIT (libpq's
pipeline mode). Rows go in as one array for each column, so that there is one
statement, planned once, whatever the size of the batch.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import psycopg
from django.db import connections

from receipts.arrays import Array, Bigints, Texts, Uuids
from receipts.storage import (
    ANSWER_COLUMNS,
    HEAD_COLUMNS,
    RECEIPT_COLUMNS,
    TILE_COLUMNS,
    Answer,
    Changes,
    Found,
    Head,
    Lookup,
    Stored,
)

Columns = dict[str, type[Array]]


def _unnest(columns: Columns) -> str:
    return ", ".join(f"%s::{kind.sql}[]" for kind in columns.values())


def _insert_statement(table: str, columns: Columns) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({_unnest(columns)})"  # noqa: S608


def _arrays(columns: Columns, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [
        kind(values)
        for kind, values in zip(columns.values(), zip(*rows, strict=True), strict=True)
    ]


INSERT_RECEIPTS = _insert_statement("receipts_receipt", RECEIPT_COLUMNS)
INSERT_TILES = _insert_statement("receipts_tile", TILE_COLUMNS)
INSERT_ANSWERS = _insert_statement("api_idempotentanswer", ANSWER_COLUMNS)
UPDATE_HEADS = f"""
    UPDATE receipts_log SET size = new.size, root = new.root,
        frontier = new.frontier, checkpoint = new.checkpoint
    FROM unnest({_unnest(HEAD_COLUMNS)}) AS new(id, size, root, frontier, checkpoint)
    WHERE receipts_log.id = new.id
"""  # noqa: S608  column types are constants
LOCK_LOGS = """
    SELECT id, tenant_id, size, frontier FROM receipts_log
    WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
# A statement of its own, so that it sees what was committed while the lock above
# was waited for.
READ_VERSIONS = "SELECT id, keyring_version FROM tenants_tenant WHERE id = ANY(%s)"
FIND_RECEIPTS = """
    SELECT r.log_id, r.run_id, r.id, r.leaf_index, r.entry
    FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS q(tenant_id, log_id, run_id)
    JOIN receipts_receipt r USING (tenant_id, log_id, run_id)
"""
FIND_ANSWERS = """
    SELECT a.tenant_id, a.mode, a.endpoint, a.key, a.fingerprint, a.status, a.body
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[])
        AS q(tenant_id, mode, endpoint, key)
    JOIN api_idempotentanswer a USING (tenant_id, mode, endpoint, key)
"""
RUN_KEY: Columns = {"tenant_id": Uuids, "log_id": Bigints, "run_id": Texts}
CLAIM: Columns = dict.fromkeys(("tenant_id", "mode", "endpoint", "key"), Texts)
CLAIM["tenant_id"] = Uuids
LEAF_HASHES = """
    SELECT leaf_hash FROM receipts_receipt WHERE tenant_id = %s AND log_id = %s
    AND leaf_index >= %s AND leaf_index < %s ORDER BY leaf_index
"""
TILE_ROOTS = """
    SELECT root FROM receipts_tile WHERE tenant_id = %s AND log_id = %s
    AND level = %s AND index >= %s AND index < %s ORDER BY index
"""

# Seconds after which a statement, or a wait for another process's lock, is given
# up, so that a hung peer turns into an answer of 503.
STATEMENT_TIMEOUT = 10


class PostgresTransaction:
    """On this process's one writing connection; only one may be open at a time."""

    _connection: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        self._pg = type(self)._connection or self._connect()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if error is not None:
            # Whatever state the session was left in, nobody inherits it.
            self.disconnect()

    @classmethod
    def disconnect(cls) -> None:
        if cls._connection:
            cls._connection.close()
            cls._connection = None

    @classmethod
    def _connect(cls) -> psycopg.Connection[Any]:
        cls._connection = _connect()
        return cls._connection

    def read(self, lookup: Lookup) -> Found:
        self._tenants = lookup.tenants
        try:
            return self._read(lookup)
        except psycopg.OperationalError:
            if not self._pg.closed:
                raise
        # The connection died while it was idle, and nothing is written yet.
        self._pg = self._connect()
        return self._read(lookup)

    def _read(self, lookup: Lookup) -> Found:
        tenants = set(lookup.tenants.values())
        with self._pg.pipeline():
            logs = self._execute(LOCK_LOGS, [Bigints(lookup.tenants)])
            versions = self._execute(READ_VERSIONS, [Uuids(tenants)])
            receipts = self._find(FIND_RECEIPTS, RUN_KEY, lookup.run_keys())
            answers = self._find(FIND_ANSWERS, CLAIM, lookup.claim_identities())
        version_of = dict(versions.fetchall())
        return Found(
            {
                log_id: Head(log_id, tenant_id, size, frontier, version_of[tenant_id])
                for log_id, tenant_id, size, frontier in logs
            },
            {tuple(row[:2]): Stored(*row[2:]) for row in receipts},
            {tuple(row[:4]): Answer(*row[4:]) for row in answers},
        )

    def _find(
        self, statement: str, columns: Columns, rows: list[tuple[Any, ...]]
    ) -> Iterable[Any]:
        return self._execute(statement, _arrays(columns, rows)) if rows else ()

    def row(self, log_id: int, level: int, start: int, stop: int) -> list[bytes]:
        place = [self._tenants[log_id], log_id]
        if level:
            rows = self._execute(TILE_ROOTS, [*place, level - 1, start, stop])
        else:
            rows = self._execute(LEAF_HASHES, [*place, start, stop])
        return [hash for (hash,) in rows]

    def commit(self, changes: Changes) -> None:
        with self._pg.pipeline():
            for statement, columns, rows in (
                (INSERT_RECEIPTS, RECEIPT_COLUMNS, changes.receipts),
                (INSERT_TILES, TILE_COLUMNS, changes.tiles),
                (INSERT_ANSWERS, ANSWER_COLUMNS, changes.answers),
                (UPDATE_HEADS, HEAD_COLUMNS, changes.heads),
            ):
                if rows:
                    self._execute(statement, _arrays(columns, rows))
            self._pg.commit()

    def _execute(self, statement: str, parameters: list[Any]) -> psycopg.Cursor[Any]:
        cursor = self._pg.cursor(binary=True)
        return cursor.execute(statement, parameters, prepare=True)


def _connect() -> psycopg.Connection[Any]:
    parameters = connections["default"].get_connection_params()
    for name in ("context", "cursor_factory", "prepare_threshold"):
        parameters.pop(name, None)  # Django's own adaptation of values
    connection = psycopg.connect(**parameters, autocommit=False, connect_timeout=5)
    connection.execute(
        f"SET statement_timeout = '{STATEMENT_TIMEOUT}s';"
        f"SET idle_in_transaction_session_timeout = '{STATEMENT_TIMEOUT}s';"
        # Every look-up here is by a unique index. Planned while a table is small
        # and kept as a prepared plan, a sequential scan would be there to stay.
        "SET enable_seqscan = off; SET enable_hashjoin = off;"
        " SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan"
    )
    connection.commit()
    return connection
