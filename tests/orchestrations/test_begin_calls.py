"""What the ledger's transaction does with a call before and after it is made."""

import pytest
from django.db import connection

from orchestrations.models import Attempt, Orchestration
from orchestrations.reconciling import check_rollups
from receipts.pipeline import Pipeline
from receipts.quiet_logs import QUIET_AFTER
from tests.orchestrations.calling import chat, inferred, only_run, set_price
from tests.orchestrations.provider import CHAT, Scripted, open_account
from tests.orchestrations.runs import CALL, post, record, start

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite always waits for the disk"
)


@pytest.fixture
def transactions(monkeypatch) -> list[list[str]]:
    """The names of the statements that go to the server, by round trip."""
    sent: list[list[str]] = []
    run = Pipeline.run

    def noted(self, calls):
        sent.append([statement.name for statement, _ in calls])
        return run(self, calls)

    monkeypatch.setattr(Pipeline, "run", noted)
    return sent


def commits(transactions: list[list[str]]) -> list[bool]:
    """Say of each commit whether it waits for the disk."""
    ends = [names for names in transactions if "commit" in names]
    return ["do_not_wait" not in names for names in ends]


@on_postgresql
def test_a_beginning_does_not_wait_for_the_disk_and_a_receipt_does(
    alice, provider, worker, transactions
):
    open_account(alice.tenant, provider)
    chat(alice)
    assert commits(transactions) == [False, True]


@on_postgresql
def test_a_start_reported_by_the_caller_waits_for_the_disk(alice, transactions):
    start(alice)
    assert commits(transactions) == [True]


@on_postgresql
def test_not_to_wait_is_not_left_to_the_next_transaction(
    alice, provider, worker, transactions
):
    open_account(alice.tenant, provider)
    chat(alice)
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        (default,) = cursor.fetchone()
    run = start(alice)
    record(alice, run)
    assert default == "on"
    assert commits(transactions)[2:] == [True, True]


def test_the_provider_is_called_when_the_attempt_is_there(alice, provider, worker):
    seen = []

    def look(place: int) -> None:
        seen.append(Attempt.objects.filter(tenant=alice.tenant).count())
        connection.close()  # of the provider's thread

    open_account(alice.tenant, provider)
    provider.answers(Scripted(CHAT, act=look))
    chat(alice)
    assert seen == [1]
    assert not Attempt.objects.filter(tenant=alice.tenant).exists()


@pytest.mark.parametrize("calls_before", [0, QUIET_AFTER])
def test_a_run_begun_for_a_call_ends_with_what_others_spent_in_it(
    alice, provider, worker, calls_before
):
    open_account(alice.tenant, provider)
    set_price(alice.tenant)
    for _ in range(calls_before):  # so that the log is known, and written unseen
        inferred(alice)

    def intrude(place: int) -> None:
        run = Orchestration.objects.get(tenant=alice.tenant, status="running")
        post(alice, run.pk, "inferences", CALL | {"cost_cents": 7})
        connection.close()  # of the provider's thread

    provider.answers(Scripted(CHAT, act=intrude))
    answer = inferred(alice)
    run = Orchestration.objects.get(pk=answer["orchestration_id"])
    assert (run.status, run.inference_count) == ("completed", 2)
    assert check_rollups(alice.tenant.pk, "live", lambda count: None) is None


def test_a_fresh_run_is_one_step_and_counts_its_call(alice, provider, worker):
    open_account(alice.tenant, provider)
    set_price(alice.tenant)
    inferred(alice)
    run = only_run(alice)
    assert (run.status, run.step_count, run.inference_count) == ("completed", 1, 1)
    assert check_rollups(alice.tenant.pk, "live", lambda count: None) is None
