"""Every process is killed in the middle of the load: nothing answered is lost."""

import pytest

from tests.slow.promises import assert_nothing_is_lost
from tests.slow.writers import Writers, report

pytestmark = pytest.mark.slow


def test_what_was_answered_outlives_the_processes(installation, server, account):
    with Writers([server], account, count=64) as writers:
        writers.wait_for_receipts(500)
        server.kill()
        writers.join()
    assert writers.failures, "nobody was waiting when the processes died"
    assert not writers.refusals

    server.start()
    paths = [f"/v1/receipts/{run_id}" for run_id in writers.receipts]
    found = [answer["receipt"] for answer in server.read_all(account, paths)]
    assert {receipt["run_id"]: receipt for receipt in found} == writers.receipts
    assert_nothing_is_lost(writers, installation, server, account)


def test_a_run_repeated_after_a_restart_gets_its_receipt_again(server, account):
    with server.client(account) as client:
        first = report(client, "run-1")
    server.kill()
    server.start()
    with server.client(account) as client:
        repeats = [report(client, "run-1") for _ in range(4)]
    assert [answer.status for answer in repeats] == [200] * 4
    assert all(answer.json() == first.json() for answer in repeats)
