"""PostgreSQL goes away under load: 503 until it is back, and nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.slow.promises import assert_all_were_answered, assert_nothing_is_lost
from tests.slow.server import Installation
from tests.slow.writers import Writers

pytestmark = pytest.mark.slow

WRITERS = 32
ANSWER_SECONDS = 15  # the longest that anybody waits to hear of an outage
RECOVERY_SECONDS = 5  # until the last writer is served again


@pytest.fixture
def installation(postgresql) -> Installation:
    return postgresql


def test_a_stopped_postgresql_is_survived(cluster, installation, server, account):
    with Writers([server], account, WRITERS) as writers:
        writers.wait_for_receipts(100)
        cluster.halt("immediate")
        try:
            writers.wait_for_each(503)
        finally:
            cluster.start()
        writers.wait_for_each(200, seconds=RECOVERY_SECONDS)
    assert_all_were_answered(writers, within=ANSWER_SECONDS)
    assert_nothing_is_lost(writers, installation, server, account)


def test_killed_backends_are_survived(admin, installation, server, account):
    with Writers([server], account, WRITERS) as writers:
        for _ in range(10):
            writers.wait_for_receipts(50)
            kill_backends(admin)
        writers.wait_for_each(200, seconds=RECOVERY_SECONDS)
    assert_all_were_answered(writers, within=ANSWER_SECONDS)
    assert_nothing_is_lost(writers, installation, server, account)


@contextmanager
def read_only(admin: psycopg.Connection) -> Iterator[None]:
    """What is left when a fail-over leads to a standby that was not promoted."""
    admin.execute("ALTER DATABASE lucid SET default_transaction_read_only = on")
    kill_backends(admin)
    try:
        yield
    finally:
        admin.execute("ALTER DATABASE lucid RESET default_transaction_read_only")
        kill_backends(admin)


def test_a_standby_that_takes_no_writes_is_survived(
    admin, installation, server, account
):
    with Writers([server], account, WRITERS) as writers:
        writers.wait_for_receipts(100)
        with read_only(admin):
            writers.wait_for_each(503)
        writers.wait_for_each(200, seconds=RECOVERY_SECONDS)
    assert_all_were_answered(writers, within=ANSWER_SECONDS)
    assert_nothing_is_lost(writers, installation, server, account)


def kill_backends(admin: psycopg.Connection) -> None:
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
