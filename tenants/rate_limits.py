"""Requests a minute, of a key and of a tenant: right across workers and machines.

Counted in the database, by the minutes of its own clock. Requests that come while
others are being counted are counted together, in one statement, so that many at once
cost hardly more than one. The counts are worth nothing after a crash: PostgreSQL keeps
them in an unlogged table, and no request waits for a disk.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from django.db import OperationalError, connection, transaction

from lucid.api.allowance import Allowance
from lucid.columns import BIGINT, UUID_, Columns, arrays
from lucid.group_commit import GroupCommit, TimedOut
from lucid.isolation import working_for
from lucid.pipeline import Pipeline, Statement
from tenants.postgresql.plain import CONNECT_TIMEOUT, parameters, tenants_call

MINUTE = 60  # seconds
PATIENCE = 3  # seconds in line, and for a statement
BATCH_LIMIT = 1000


@dataclass(slots=True)
class _Request:
    tenant_id: UUID
    limits: dict[UUID, int]
    allowances: list[Allowance] = field(default_factory=list)
    keyring_version: int = 0


def take(tenant_id: UUID, limits: dict[UUID, int]) -> tuple[Allowance, int]:
    """Count a request against one limit or more.

    Returns what has least left, and the tenant's `keyring_version`, which costs nothing
    more to read here. Raises OperationalError when the request cannot be counted.
    """
    request = _Request(tenant_id, limits)
    try:
        _group.submit(request, PATIENCE)
    except (TimedOut, psycopg.OperationalError) as error:
        raise OperationalError("the request could not be counted") from error
    tightest = min(request.allowances, key=lambda allowance: allowance.left)
    return tightest, request.keyring_version


def _count(batch: Sequence[_Request]) -> None:
    more = Counter(
        (request.tenant_id, subject) for request in batch for subject in request.limits
    )
    # In one order, so that no two batches wait for each other.
    rows = [(*counted, more[counted]) for counted in sorted(more)]
    add = _connection.add if connection.vendor == "postgresql" else _add_on_sqlite
    found = {(tenant_id, subject): rest for tenant_id, subject, *rest in add(rows)}
    # Each request has a place of its own in the count, in the order they came in.
    place = {counted: found[counted][0] - more[counted] for counted in more}
    for request in batch:
        for subject, limit in request.limits.items():
            counted = request.tenant_id, subject
            place[counted] += 1
            _, minute, request.keyring_version = found[counted]
            reset = (minute + 1) * MINUTE
            request.allowances.append(Allowance(limit, limit - place[counted], reset))


_group = GroupCommit(_count, BATCH_LIMIT)

Row = tuple[UUID, UUID, int]  # tenant, what has the limit, requests
Answered = tuple[UUID, UUID, int, int, int]  # ..., used, minute, keyring_version

# A batch that waited for another's lock may be of the minute before: it counts in the
# one that has begun.
_UPSERT = """
    ON CONFLICT (tenant_id, subject) DO UPDATE SET
        used = CASE WHEN excluded.minute > tenants_ratecount.minute
            THEN excluded.used ELSE tenants_ratecount.used + excluded.used END,
        minute = CASE WHEN excluded.minute > tenants_ratecount.minute
            THEN excluded.minute ELSE tenants_ratecount.minute END
    RETURNING tenant_id, subject, used, minute, (
        SELECT keyring_version FROM tenants_tenant
        WHERE id = tenants_ratecount.tenant_id
    )
"""
_COUNTED: Columns = {"tenant_id": UUID_, "subject": UUID_, "used": BIGINT}
_ADD = Statement(
    "count_requests",
    f"""
    INSERT INTO tenants_ratecount (tenant_id, subject, used, minute)
    SELECT tenant_id, subject, used,
        floor(extract(epoch FROM clock_timestamp()) / {MINUTE})
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS new(tenant_id, subject, used)
    {_UPSERT}
    """,  # noqa: S608  constants
    {**_COUNTED, "minute": BIGINT, "keyring_version": BIGINT},
)
_ON_SQLITE = f"""
    INSERT INTO tenants_ratecount (tenant_id, subject, used, minute)
    VALUES (%s, %s, %s, %s) {_UPSERT}
"""  # noqa: S608  constants


class _Connection:
    """Of this process, for counting alone; used by whoever leads a batch."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None

    def add(self, rows: Sequence[Row]) -> list[Answered]:
        try:
            return self._add(rows)
        except psycopg.OperationalError:
            if self._pipeline and not self._pipeline.broken:
                raise
        return self._add(rows)  # it had died while it was idle

    def _add(self, rows: Sequence[Row]) -> list[Answered]:
        if self._pipeline is None or self._pipeline.broken:
            self.disconnect()
            setup = (
                f"SET statement_timeout = '{PATIENCE}s'; SET synchronous_commit = off"
            )
            seconds = PATIENCE + CONNECT_TIMEOUT
            self._pipeline = Pipeline(parameters(), setup, seconds)
        # What goes before one synchronisation point is one transaction.
        with working_for(*{tenant_id for tenant_id, _, _ in rows}):
            calls = [tenants_call(), (_ADD, arrays(_COUNTED, rows))]
            _, counted = self._pipeline.run(calls)
        return counted

    def disconnect(self) -> None:
        if self._pipeline:
            self._pipeline.close()
        self._pipeline = None


_connection = _Connection()
disconnect = _connection.disconnect


def _add_on_sqlite(rows: Sequence[Row]) -> list[Answered]:
    """Count on SQLite, whose machine has one clock."""
    minute = int(time.time()) // MINUTE
    found: list[Answered] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for tenant_id, subject, more in rows:
            row: list[str | int] = [tenant_id.hex, subject.hex, more, minute]
            cursor.execute(_ON_SQLITE, row)
            found.append((tenant_id, subject, *cursor.fetchone()[2:]))
    return found
