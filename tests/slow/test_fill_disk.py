"""The disk is full under load: 503 until there is room, and nothing half-written."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.cluster import ACCOUNT
from tests.slow.promises import assert_all_were_answered, assert_nothing_is_lost
from tests.slow.server import Account, Installation
from tests.slow.writers import Writers

pytestmark = pytest.mark.slow

WRITERS = 32
ANSWER_SECONDS = 15
UNLIMITED = -1


@contextmanager
def failing_last_write(admin: psycopg.Connection, account: Account) -> Iterator[None]:
    """Fail each batch at its last statement, when its entries are written."""
    admin.execute(
        "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full';"
        " END $$"
    )
    admin.execute(
        "CREATE TRIGGER disk_full AFTER UPDATE ON receipts_log FOR EACH ROW"
        f" WHEN (NEW.origin LIKE '%/{account.slug}') EXECUTE FUNCTION disk_full()"
    )
    try:
        yield
    finally:
        admin.execute("DROP FUNCTION disk_full CASCADE")


def test_a_batch_that_fails_at_its_end_leaves_nothing(admin, postgresql):
    with postgresql.server() as server:
        account = postgresql.new_account("acme")
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_receipts(100)
            with failing_last_write(admin, account):
                writers.wait_for_each(503)
                log = postgresql.verify_log(account)
                assert (log["verdict"], log["size"]) == ("VALID", len(writers.receipts))
            writers.wait_for_each(200)
        assert_all_were_answered(writers, within=ANSWER_SECONDS)
        assert_nothing_is_lost(writers, postgresql, server, account)


class TinyDisk:
    """A file system of some megabytes, and a file on it to take what is left."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def mount() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lucid-tiny-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True).returncode == 0
    if mounted:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
    if not mounted:
        pytest.skip("needs the right to mount a file system")


@pytest.fixture
def on_tiny_disk(cluster, admin, mount, tmp_path) -> Iterator[Installation]:
    """Lucid on PostgreSQL with its tables on a tiny disk, its WAL elsewhere."""
    place = mount / "tablespace"
    place.mkdir()
    shutil.chown(place, ACCOUNT)
    admin.execute(f"CREATE TABLESPACE tiny LOCATION '{place}'")
    admin.execute("CREATE DATABASE tiny TABLESPACE tiny")
    urls = [cluster.url, cluster.url_as("lucid_tiny")]
    yield Installation(tmp_path, *(url.removesuffix("lucid") + "tiny" for url in urls))
    admin.execute("DROP DATABASE tiny")
    admin.execute("DROP ROLE lucid_tiny")
    admin.execute("DROP TABLESPACE tiny")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_a_full_disk_under_postgresql_is_survived(on_tiny_disk, mount):
    disk = TinyDisk(mount)
    with on_tiny_disk.server() as server:
        account = on_tiny_disk.new_account("acme")
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_receipts(100)
            disk.fill()
            writers.wait_for_each(503)
            disk.empty()
            writers.wait_for_each(200)
        assert_all_were_answered(writers, within=ANSWER_SECONDS)
        assert_nothing_is_lost(writers, on_tiny_disk, server, account)


def test_a_full_disk_under_sqlite_is_survived(sqlite):
    """As far as SQLite can tell: no file grows beyond a limit."""
    with sqlite.server() as server:
        account = sqlite.new_account("acme")
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_receipts(100)
            server.limit_files(256 * 1024)
            writers.wait_for_each(503)
            server.limit_files(UNLIMITED)
            writers.wait_for_each(200)
        assert_all_were_answered(writers, within=ANSWER_SECONDS)
        assert_nothing_is_lost(writers, sqlite, server, account)


def test_a_server_killed_with_a_full_sqlite_disk_starts_again(sqlite):
    with sqlite.server() as server:
        account = sqlite.new_account("acme")
        with Writers([server], account, WRITERS) as writers:
            writers.wait_for_receipts(100)
            server.limit_files(256 * 1024)
            writers.wait_for_each(503)
            server.kill()
        server.start()  # without the limit
        assert_nothing_is_lost(writers, sqlite, server, account)
