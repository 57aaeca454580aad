"""Another session holds a lock and says no more: 503, not a hang."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import psycopg
import pytest

from tests.slow.promises import assert_all_were_answered, assert_nothing_is_lost
from tests.slow.server import Account, Installation, Server
from tests.slow.writers import Writers

pytestmark = pytest.mark.slow

WRITERS = 32
APPEND_TIMEOUT = 3  # LUCID_APPEND_TIMEOUT, seconds
# Once in line, and once more when it becomes one's turn to lead just then.
ANSWER_SECONDS = 2 * APPEND_TIMEOUT + 2
# Before that, a first receipt may wait for one of the process's few connections, which
# others hold while they wait for the tenant's row, and then for that row itself.
FIRST_ANSWER_SECONDS = ANSWER_SECONDS + 2 * 3  # LUCID_DATABASE_POOL's and lock_timeout

LOG = "receipts_log WHERE origin LIKE '%%/' || %(slug)s"
TENANT = "tenants_tenant WHERE slug = %(slug)s"
API_KEY = f"tenants_apikey WHERE tenant_id = (SELECT id FROM {TENANT})"  # noqa: S608


@contextmanager
def locked(admin: psycopg.Connection, rows: str, account: Account) -> Iterator[None]:
    with admin.transaction():
        query = f"SELECT 1 FROM {rows} FOR UPDATE"  # noqa: S608
        assert len(admin.execute(query, {"slug": account.slug}).fetchall()) == 1
        yield


@pytest.fixture
def installation(postgresql) -> Installation:
    return postgresql


@pytest.fixture
def server(installation) -> Iterator[Server]:
    timeout = str(APPEND_TIMEOUT)
    with installation.server(LUCID_APPEND_TIMEOUT=timeout) as started:
        yield started


def test_a_locked_log_is_not_waited_for(admin, installation, server, account):
    with Writers([server], account, WRITERS) as writers:
        writers.wait_for_each(200)
        with locked(admin, LOG, account):
            writers.wait_for_each(503)
        writers.wait_for_each(200)
    assert_all_were_answered(writers, within=ANSWER_SECONDS)
    assert_nothing_is_lost(writers, installation, server, account)


def test_a_locked_tenant_is_not_waited_for(admin, installation, server, account):
    """A tenant's first receipt opens its log, under the lock of the tenant's row."""
    with ExitStack() as lock:
        # Before anybody writes: once the log is open, nobody needs the tenant's row.
        lock.enter_context(locked(admin, TENANT, account))
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_each(503)
            lock.close()
            writers.wait_for_each(200)
    assert_all_were_answered(writers, within=FIRST_ANSWER_SECONDS)
    assert_nothing_is_lost(writers, installation, server, account)


def test_a_locked_key_is_used_all_the_same(admin, server, account):
    """A key's last use is noted in its row, or else it is not."""
    writers = Writers([server], account, WRITERS, runs=1)
    with locked(admin, API_KEY, account):
        writers.run()
    assert len(writers.receipts) == WRITERS
    assert not writers.refusals


@contextmanager
def locked_file(installation: Installation) -> Iterator[None]:
    file = installation.folder / "lucid.sqlite3"
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_locked_sqlite_file_is_not_waited_for(sqlite):
    with sqlite.server(LUCID_APPEND_TIMEOUT=str(APPEND_TIMEOUT)) as server:
        account = sqlite.new_account("acme")
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_each(200)
            with locked_file(sqlite):
                writers.wait_for_each(503)
            writers.wait_for_each(200)
        assert_all_were_answered(writers, within=ANSWER_SECONDS)
        assert_nothing_is_lost(writers, sqlite, server, account)
