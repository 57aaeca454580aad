"""The ledger's transaction on PostgreSQL, in two round trips.

BEGIN, the locks and the look-ups travel together, then all writes and the COMMIT.
"""

from typing import Any, Self

import psycopg
from django.conf import settings

from lucid.columns import (
    BIGINT,
    BYTEA,
    SMALLINT,
    TEXT,
    UUID_,
    Columns,
    arrays,
    single,
)
from lucid.pipeline import Call, Pipeline, Statement
from receipts.rows import names, one_row, unnest
from receipts.storage import (
    HEAD_COLUMNS,
    HEADS,
    LOG_ID,
    RECEIPT_COLUMNS,
    Answer,
    Changes,
    Found,
    Head,
    Lookup,
    NotRead,
    RunIdTaken,
    Stored,
)
from tenants.postgresql.plain import CONNECT_TIMEOUT, parameters, tenants_call

# A statement, or a wait for another process's lock, is given up in time for a 503.
SETUP = """
    SET statement_timeout = '{seconds}s';
    SET lock_timeout = '{seconds}s';
    SET idle_in_transaction_session_timeout = '{seconds}s';
    -- Every look-up here is by a unique index. Planned while a table is small and
    -- kept as a prepared plan, a sequential scan would be there to stay.
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    -- One plan fits all: what differs is the length of the arrays.
    SET plan_cache_mode = force_generic_plan
"""


BEGIN = Statement("begin", "BEGIN", {})
COMMIT = Statement("commit", "COMMIT", {})
ROLLBACK = Statement("rollback", "ROLLBACK", {})
HEAD = HEAD_COLUMNS | LOG_ID
EXPECTED: Columns = {"size": BIGINT, "keyring_version": BIGINT}


# Waits for whoever holds the log's row; then it finds the size another, and no row.
_HEAD_AS_EXPECTED = f"""
    WITH head AS (
        UPDATE receipts_log SET size = new.size, root = new.root,
            frontier = new.frontier, checkpoint = new.checkpoint
        FROM {one_row(HEAD)} AS new(size, root, frontier, checkpoint, id),
            {one_row(EXPECTED, len(HEAD))} AS expected(size, keyring_version),
            tenants_tenant
        WHERE receipts_log.id = new.id AND receipts_log.size = expected.size
            AND tenants_tenant.id = receipts_log.tenant_id
            AND tenants_tenant.keyring_version = expected.keyring_version
        RETURNING receipts_log.id
    )
"""  # noqa: S608  constants


def _append_unseen(name: str, receipts: str) -> Statement:
    """Receipts, and the head that they make, in one statement.

    Nothing is inserted when the head is not as expected.
    """
    sql = f"""
    {_HEAD_AS_EXPECTED}
    INSERT INTO receipts_receipt ({names(RECEIPT_COLUMNS)})
    SELECT new.* FROM head, {receipts} AS new
    RETURNING leaf_index
    """  # noqa: S608  constants
    return Statement(name, sql, {"leaf_index": BIGINT})


# Where more is written it fails the transaction, with a division by zero.
SET_HEAD = Statement(
    "set_head",
    f"{_HEAD_AS_EXPECTED} SELECT 1 / count(*) FROM head",  # noqa: S608  constants
    {},
)
_BEFORE_RECEIPTS = len(HEAD) + len(EXPECTED)
APPEND_MANY = _append_unseen("append_many", unnest(RECEIPT_COLUMNS, _BEFORE_RECEIPTS))
APPEND_ONE = _append_unseen("append_one", one_row(RECEIPT_COLUMNS, _BEFORE_RECEIPTS))
LOCK_LOGS = Statement(
    "lock_logs",
    """
    SELECT id, tenant_id, size, frontier FROM receipts_log
    WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE
    """,
    {"id": BIGINT, "tenant_id": UUID_, "size": BIGINT, "frontier": BYTEA},
)
# A statement of its own, so that it sees what was committed while the lock above
# was waited for.
READ_VERSIONS = Statement(
    "read_versions",
    "SELECT id, keyring_version FROM tenants_tenant WHERE id = ANY($1::uuid[])",
    {"id": UUID_, "keyring_version": BIGINT},
)
RUN_KEY: Columns = {"tenant_id": UUID_, "log_id": BIGINT, "run_id": TEXT}
FIND_RECEIPTS = Statement(
    "find_receipts",
    f"""
    SELECT r.log_id, r.run_id, r.id, r.leaf_index, r.entry
    FROM {unnest(RUN_KEY)} AS q(tenant_id, log_id, run_id)
    JOIN receipts_receipt r USING (tenant_id, log_id, run_id)
    """,  # noqa: S608  constants
    {
        "log_id": BIGINT,
        "run_id": TEXT,
        "id": UUID_,
        "leaf_index": BIGINT,
        "entry": BYTEA,
    },
    planned_anew=True,  # rare, and its plan depends on how large the table is
)
CLAIM: Columns = {"tenant_id": UUID_, "mode": TEXT, "endpoint": TEXT, "key": TEXT}
FIND_ANSWERS = Statement(
    "find_answers",
    f"""
    SELECT a.tenant_id, a.mode, a.endpoint, a.key, a.fingerprint, a.status, a.body
    FROM {unnest(CLAIM)} AS q(tenant_id, mode, endpoint, key)
    JOIN api_idempotentanswer a USING (tenant_id, mode, endpoint, key)
    """,  # noqa: S608  constants
    {**CLAIM, "fingerprint": BYTEA, "status": SMALLINT, "body": BYTEA},
)
LEAF_HASHES = Statement(
    "leaf_hashes",
    """
    SELECT leaf_hash FROM receipts_receipt WHERE tenant_id = $1::uuid
    AND log_id = $2::bigint AND leaf_index >= $3::bigint AND leaf_index < $4::bigint
    ORDER BY leaf_index
    """,
    {"leaf_hash": BYTEA},
)
TILE_ROOTS = Statement(
    "tile_roots",
    """
    SELECT root FROM receipts_tile WHERE tenant_id = $1::uuid
    AND log_id = $2::bigint AND index >= $3::bigint AND index < $4::bigint
    AND level = $5::smallint ORDER BY index
    """,
    {"root": BYTEA},
)


class PostgresTransaction:
    """On this process's one writing connection; only one may be open at a time."""

    _pipeline: Pipeline | None = None

    def __enter__(self) -> Self:
        self._open = type(self)._pipeline or self._connect()
        self._begun = False
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is RunIdTaken and not self._open.broken:
            if self._begun:
                self._open.run([(ROLLBACK, [])])
        elif error is not None:
            # Whatever state the session was left in, nobody inherits it.
            self.disconnect()

    @classmethod
    def disconnect(cls) -> None:
        if cls._pipeline:
            cls._pipeline.close()
            cls._pipeline = None

    @classmethod
    def _connect(cls) -> Pipeline:
        cls.disconnect()
        seconds = settings.LUCID_APPEND_TIMEOUT
        cls._pipeline = Pipeline(
            parameters(), SETUP.format(seconds=seconds), seconds + CONNECT_TIMEOUT
        )
        return cls._pipeline

    def read(self, lookup: Lookup) -> Found:
        self._tenants = lookup.tenants
        try:
            return self._read(lookup)
        except psycopg.OperationalError:
            if not self._open.broken:
                raise
        # The connection died while it was idle, and nothing is written yet.
        self._open = self._connect()
        return self._read(lookup)

    def _read(self, lookup: Lookup) -> Found:
        calls: list[Call] = [
            (BEGIN, []),
            tenants_call(),
            (LOCK_LOGS, [BIGINT.array(lookup.tenants)]),
            (READ_VERSIONS, [UUID_.array(set(lookup.tenants.values()))]),
        ]
        if lookup.run_ids:
            calls.append((FIND_RECEIPTS, arrays(RUN_KEY, lookup.run_keys())))
        if lookup.claims:
            calls.append((FIND_ANSWERS, arrays(CLAIM, lookup.claim_identities())))
        calls += [find.call(keys) for find, keys in lookup.more]
        self._begun = True
        _, _, logs, versions, *found = self._open.run(calls)
        receipts = found.pop(0) if lookup.run_ids else []
        answers = found.pop(0) if lookup.claims else []
        version_of = dict(versions)
        return Found(
            {
                log_id: Head(log_id, tenant_id, size, frontier, version_of[tenant_id])
                for log_id, tenant_id, size, frontier in logs
            },
            {(row[0], row[1]): Stored(*row[2:]) for row in receipts},
            {(row[0], row[1], row[2], row[3]): Answer(*row[4:]) for row in answers},
            found,
        )

    def row(self, log_id: int, level: int, start: int, stop: int) -> list[bytes]:
        if not self._begun:
            raise NotRead
        place = [
            UUID_.write(self._tenants[log_id]),
            *map(BIGINT.write, (log_id, start, stop)),
        ]
        call: Call = (LEAF_HASHES, place)
        if level:
            call = (TILE_ROOTS, [*place, SMALLINT.write(level - 1)])
        return [row[0] for row in self._open.run([call])[0]]

    def commit_to(self, head: Head, changes: Changes) -> bool:
        """Write receipts and a head in one round trip, if the log is still at `head`.

        Stands for `read` and `commit`; for changes to one log, and without tiles.
        """
        (new,) = changes.heads
        parameters = [
            *single(HEAD, new),
            *single(EXPECTED, (head.size, head.keyring_version)),
        ]
        if changes.more:
            return self._commit_with_more(parameters, changes)
        if len(changes.receipts) == 1:
            parameters += single(RECEIPT_COLUMNS, changes.receipts[0])
            statement = APPEND_ONE
        else:
            parameters += arrays(RECEIPT_COLUMNS, changes.receipts)
            statement = APPEND_MANY
        try:
            _, written = self._open.run([tenants_call(), (statement, parameters)])
        except psycopg.errors.UniqueViolation as error:
            raise RunIdTaken from error
        except psycopg.OperationalError as error:
            if not self._open.broken:
                raise
            # It died while it was idle, or nobody knows: what was written is a
            # replay to the next look.
            raise RunIdTaken from error
        return bool(written)

    def _commit_with_more(self, head: list[bytes | None], changes: Changes) -> bool:
        # Without a BEGIN, what goes before one synchronisation point is one
        # transaction, and rolled back by the first error.
        calls: list[Call] = [tenants_call(), (SET_HEAD, head)]
        writes = [(write, rows) for write, rows in changes.writes() if write != HEADS]
        calls += [write.call(rows) for write, rows in writes]
        try:
            self._open.run(calls)
        except psycopg.errors.UniqueViolation as error:
            raise RunIdTaken from error
        except psycopg.errors.DivisionByZero:
            return False
        except psycopg.OperationalError as error:
            if not self._open.broken:
                raise
            raise RunIdTaken from error  # see above
        return True

    def commit(self, changes: Changes) -> None:
        calls = [write.call(rows) for write, rows in changes.writes()]
        try:
            self._open.run([*calls, (COMMIT, [])])
        except psycopg.errors.UniqueViolation as error:
            raise RunIdTaken from error
