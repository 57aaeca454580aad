"""Logs that one process writes to alone are written without a look at them first."""

import pytest
from django.db import connection

from receipts import ledger
from receipts.entry import make_entry
from receipts.fsck import check_log
from receipts.keyring import keyring_for
from receipts.postgres import PostgresTransaction
from receipts.quiet_logs import QUIET_AFTER, QuietLogs
from receipts.storage import OrmTransaction
from tests.caller import RUN

pytestmark = pytest.mark.usefixtures("postgres")


@pytest.fixture
def postgres(database):
    if connection.vendor != "postgresql":
        pytest.skip("the short way is PostgreSQL's")


@pytest.fixture
def looks(monkeypatch):
    """The look-ups that transactions made, one item for each."""
    seen = []
    read = PostgresTransaction.read

    def counted(self, lookup):
        seen.append(lookup)
        return read(self, lookup)

    monkeypatch.setattr(PostgresTransaction, "read", counted)
    return seen


def _fill(caller, count=QUIET_AFTER + 2):
    for number in range(count):
        caller.record(run_id=f"run-{number}")


def _append_as_another_process(tenant, run_id, monkeypatch):
    keyring = keyring_for(tenant.pk, "live")
    entry = make_entry(keyring, "compute", run_id, None, {"runtime": "other"})
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_new_transaction", OrmTransaction)
        patch.setattr(ledger, "_quiet_logs", QuietLogs())
        ledger.append(ledger.Submission(keyring, [entry]))
    return keyring.log_id


def test_it_looks_no_more_once_a_log_is_quiet(alice, looks):
    _fill(alice)
    before = len(looks)
    receipt = alice.record(run_id="unseen")
    assert len(looks) == before
    assert alice.get("/v1/receipts/unseen").json()["receipt"] == receipt


def test_it_sees_that_another_process_wrote(alice, looks, monkeypatch):
    _fill(alice)
    log_id = _append_as_another_process(alice.tenant, "theirs", monkeypatch)
    before = len(looks)
    receipt = alice.record(run_id="ours")
    assert len(looks) == before + 1
    assert receipt["_mmr_leaf_index"] == QUIET_AFTER + 3
    assert check_log(log_id, lambda count: None) is None


def test_a_replay_is_found(alice):
    _fill(alice)
    again = alice.record(run_id="run-0")
    assert again["_mmr_leaf_index"] == 0


def test_a_replay_that_another_process_wrote_is_found(alice, monkeypatch):
    _fill(alice)
    _append_as_another_process(alice.tenant, "theirs", monkeypatch)
    answer = alice.post("/v1/receipts", {**RUN, "run_id": "theirs"})
    assert answer.json()["code"] == "RUN_ID_CONFLICT"


def test_a_revoked_key_cannot_write(alice):
    _fill(alice)
    alice.key.revoke()
    answer = alice.post("/v1/receipts", RUN)
    assert answer.json()["code"] == "KEY_REVOKED"
    assert answer.status_code == 401


def test_tiles_that_fill_are_written(alice, looks):
    _fill(alice)
    for number in range(3):
        runs = [{**RUN, "run_id": f"{number}-{n}"} for n in range(100)]
        alice.post("/v1/receipts/batch", {"receipts": runs})
    log_id = keyring_for(alice.tenant.pk, "live").log_id
    assert check_log(log_id, lambda count: None) is None
