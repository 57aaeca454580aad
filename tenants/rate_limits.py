"""Requests a minute, of a key and of a tenant: right across workers and machines.

Counted in the database, by the minutes of its own clock. Requests that come while
others are being counted are counted together, in one statement, so that many at once
cost hardly more than one. The counts are worth nothing after a crash: PostgreSQL keeps
them in an unlogged table, and no request waits for a disk.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from django.db import OperationalError, connection, transaction

from lucid.api.allowance import Allowance
from lucid.group_commit import GroupCommit, TimedOut
from tenants.isolation import as_setting
from tenants.postgresql.plain import parameters

logger = logging.getLogger(__name__)

MINUTE = 60  # seconds
PATIENCE = 3  # seconds in line, and for a statement
BATCH_LIMIT = 1000

Counted = tuple[UUID, UUID]  # tenant, and what has the limit: it, or one of its keys


@dataclass(slots=True)
class _Request:
    tenant_id: UUID
    limits: dict[UUID, int]
    allowances: list[Allowance] = field(default_factory=list)


def take(tenant_id: UUID, limits: dict[UUID, int]) -> Allowance | None:
    """Count a request against limits; return the one that has least left.

    Raises OperationalError when it cannot be counted.
    """
    if not limits:
        return None
    request = _Request(tenant_id, limits)
    try:
        _group.submit(request, PATIENCE)
    except (TimedOut, psycopg.OperationalError) as error:
        raise OperationalError("the request could not be counted") from error
    return min(request.allowances, key=lambda allowance: allowance.left)


def _count(batch: Sequence[_Request]) -> None:
    more = Counter(
        (request.tenant_id, subject) for request in batch for subject in request.limits
    )
    # In one order, so that no two batches wait for each other.
    rows = [(*counted, more[counted]) for counted in sorted(more)]
    used, minute = _add(rows)
    # Each request has a place of its own in the count, in the order they came in.
    place = {subject: used[subject] - more[_, subject] for _, subject in more}
    for request in batch:
        for subject, limit in request.limits.items():
            place[subject] += 1
            left = limit - place[subject]
            reset = (minute[subject] + 1) * MINUTE
            request.allowances.append(Allowance(limit, left, reset))


_group = GroupCommit(_count, BATCH_LIMIT)

Rows = Sequence[tuple[UUID, UUID, int]]
Sums = tuple[dict[UUID, int], dict[UUID, int]]  # used, and in which minute


def _add(rows: Rows) -> Sums:
    found = (
        _connection.add(rows) if connection.vendor == "postgresql" else _add_on(rows)
    )
    return (
        {subject: used for subject, used, _ in found},
        {subject: minute for subject, _, minute in found},
    )


# A batch that waited for another's lock may be of the minute before: it counts in the
# one that has begun.
_UPSERT = """
    ON CONFLICT (tenant_id, subject) DO UPDATE SET
        used = CASE WHEN excluded.minute > tenants_ratecount.minute
            THEN excluded.used ELSE tenants_ratecount.used + excluded.used END,
        minute = CASE WHEN excluded.minute > tenants_ratecount.minute
            THEN excluded.minute ELSE tenants_ratecount.minute END
    RETURNING subject, used, minute
"""
_ON_POSTGRESQL = f"""
    INSERT INTO tenants_ratecount (tenant_id, subject, used, minute)
    SELECT tenant_id, subject, used,
        floor(extract(epoch FROM clock_timestamp()) / {MINUTE})
    FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[]) AS new(tenant_id, subject, used)
    {_UPSERT}
"""  # noqa: S608  constants
_ON_SQLITE = f"""
    INSERT INTO tenants_ratecount (tenant_id, subject, used, minute)
    VALUES (%s, %s, %s, %s) {_UPSERT}
"""  # noqa: S608  constants


class _Connection:
    """Of this process, for counting alone; used by whoever leads a batch."""

    def __init__(self) -> None:
        self._open: psycopg.Connection[Any] | None = None

    def add(self, rows: Rows) -> list[tuple[UUID, int, int]]:
        try:
            return self._add(rows)
        except psycopg.OperationalError:
            if self._open and not self._open.closed:
                raise
        return self._add(rows)  # it had died while it was idle

    def _add(self, rows: Rows) -> list[tuple[UUID, int, int]]:
        if self._open is None or self._open.closed:
            self._open = psycopg.connect(
                **parameters(), autocommit=True, prepare_threshold=1
            )
            self._open.execute(f"SET statement_timeout = '{PATIENCE}s'")
        tenants = as_setting(frozenset(tenant_id for tenant_id, _, _ in rows))
        columns = [list(column) for column in zip(*rows, strict=True)]
        # What goes before one synchronisation point is one transaction.
        with self._open.pipeline():
            self._open.execute("SELECT set_config('lucid.tenant', %s, true)", [tenants])
            counted = self._open.execute(_ON_POSTGRESQL, columns)
        return counted.fetchall()

    def disconnect(self) -> None:
        if self._open:
            self._open.close()
        self._open = None


_connection = _Connection()
disconnect = _connection.disconnect


def _add_on(rows: Rows) -> list[tuple[UUID, int, int]]:
    """Count on SQLite, whose machine has one clock."""
    minute = int(time.time()) // MINUTE
    found = []
    with transaction.atomic(), connection.cursor() as cursor:
        for tenant_id, subject, more in rows:
            values = [tenant_id.hex, subject.hex, more, minute]
            cursor.execute(_ON_SQLITE, values)
            _, used, of_minute = cursor.fetchone()
            found.append((subject, used, of_minute))
    return found
