"""Beginning a call without the lock on its tenant's log (PostgreSQL).

A beginning writes no leaf. Where it has no budget to look at and no Idempotency-Key
to note, it goes on a connection of its own, in one round trip whose conditions fail
the transaction. What they do not grant is asked of the ledger, which knows why. The
price: workers that begin calls at the same moment may pass an account's limit of
calls at a time by those.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from lucid.api.errors import DATABASE_UNAVAILABLE
from lucid.columns import BIGINT, TEXT, UUID_
from lucid.group_commit import GroupCommit, TimedOut
from lucid.isolation import working_for
from lucid.pipeline import Call, Statement
from orchestrations.books import OrchestrationBooks
from orchestrations.tables import ATTEMPT, INSERT_ATTEMPTS, INSERT_SALTS, SALTS
from orchestrations.work import Begin
from receipts.ledger import BATCH_LIMIT, LedgerUnavailable, Submission
from receipts.postgres import PostgresTransaction
from tenants.postgresql.plain import tenants_call

logger = logging.getLogger(__name__)

# Each divides by zero where it does not hold, which fails what is sent with it.
SAME_RIGHTS = Statement(
    "same_rights",
    """
    SELECT 1 / count(*) FROM tenants_tenant
    WHERE id = $1::uuid AND keyring_version = $2::bigint
    """,
    {},
)
HAS_ROOM = Statement(
    "has_room",
    """
    SELECT 1 / (count(*) <= $4::bigint)::int FROM orchestrations_attempt
    WHERE tenant_id = $1::uuid AND mode = $2::text AND provider = $3::text
    """,
    {},
)
GOES_ON = Statement(
    "run_goes_on",
    """
    SELECT 1 / count(*) FROM orchestrations_orchestration
    WHERE id = $1::text AND tenant_id = $2::uuid AND mode = $3::text
        AND status = 'running' AND expires_at > now() AND budget IS NULL
    """,
    {},
)


class BeginTransaction(PostgresTransaction):
    """On a connection of its own, so as not to wait for the ledger's commits."""

    _pipeline = None

    def run(self, calls: Sequence[Call]) -> None:
        self._open.run(calls)


@dataclass(slots=True)
class _Item:
    version: int
    work: Begin
    is_begun: bool = False
    is_unsure: bool = False


def begin_unlocked(submission: Submission) -> bool:
    """Make what a Begin is about durable; False: nothing was, ask the ledger.

    Raises LedgerUnavailable when nobody can say.
    """
    work: Begin = submission.work
    if connection.vendor != "postgresql" or submission.claim:
        return False
    if work.scope.month_limit is not None:
        return False
    item = _Item(submission.keyring.version, work)
    try:
        _group.submit(item, settings.LUCID_APPEND_TIMEOUT)
    except TimedOut as error:
        raise LedgerUnavailable from error
    if item.is_unsure:
        raise LedgerUnavailable
    return item.is_begun


def _write(batch: Sequence[_Item]) -> None:
    tenants = {item.work.scope.tenant_id for item in batch}
    try:
        with working_for(*tenants), BeginTransaction() as transaction:
            transaction.run([tenants_call(), *_conditions(batch), *_rows(batch)])
    except psycopg.errors.DivisionByZero:
        if len(batch) > 1:  # one that is refused hurts only itself
            for item in batch:
                _write([item])
    except DATABASE_UNAVAILABLE as error:
        logger.error("%d calls not begun: %s", len(batch), error)
        for item in batch:
            item.is_unsure = True
    else:
        OrchestrationBooks.remember_begun(_runs(batch))
        for item in batch:
            item.is_begun = True


def _conditions(batch: Sequence[_Item]) -> list[Call]:
    rights = {(item.work.scope.tenant_id, item.version) for item in batch}
    accounts = Counter(
        (
            item.work.scope.tenant_id,
            item.work.scope.mode,
            item.work.attempt["provider"],
            item.work.concurrency,
        )
        for item in batch
    )
    runs = {
        (item.work.orchestration_id, item.work.scope.tenant_id, item.work.scope.mode)
        for item in batch
        if item.work.orchestration_id and not item.work.run
    }
    return [
        *(
            (SAME_RIGHTS, [UUID_.write(tenant), BIGINT.write(version)])
            for tenant, version in rights
        ),
        *(
            (
                HAS_ROOM,
                [
                    UUID_.write(tenant),
                    TEXT.write(mode),
                    TEXT.write(provider),
                    BIGINT.write(limit - count),
                ],
            )
            for (tenant, mode, provider, limit), count in accounts.items()
        ),
        *(
            (GOES_ON, [TEXT.write(run), UUID_.write(tenant), TEXT.write(mode)])
            for run, tenant, mode in runs
        ),
    ]


def _runs(batch: Sequence[_Item]) -> list[dict[str, Any]]:
    return [item.work.run for item in batch if item.work.run]


def _rows(batch: Sequence[_Item]) -> list[Call]:
    works = [item.work for item in batch]
    attempts = [tuple(work.attempt[name] for name in ATTEMPT) for work in works]
    salts = [tuple(work.salts[name] for name in SALTS) for work in works]
    runs = _runs(batch)
    writes = [(INSERT_ATTEMPTS, attempts), (INSERT_SALTS, salts)]
    if runs:
        writes.insert(0, OrchestrationBooks.insertion_of(runs))
    return [write.call(rows) for write, rows in writes]


_group = GroupCommit(_write, BATCH_LIMIT)
