"""A provider on this machine, and a worker of the gateway for a test alone."""

import atexit
from collections.abc import Iterator

import pytest

from orchestrations.gateway import accounts
from orchestrations.gateway import worker as workers
from orchestrations.gateway.worker import Worker
from tests.orchestrations.provider import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider().serving() as provider:
        yield provider
        accounts._memory.clear()  # and with the accounts, their connections


@pytest.fixture
def worker(database, settings, tmp_path, monkeypatch) -> Iterator[Worker]:
    """This process's worker, with a spool of its own, made from `settings`."""
    settings.LUCID_SPOOL_DIR = str(tmp_path / "spool")
    monkeypatch.setattr(workers, "_worker", None)
    worker = workers.this_worker()
    yield worker
    atexit.unregister(worker._leave)
    worker.spool.close()
