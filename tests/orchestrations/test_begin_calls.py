"""What the ledger's transaction does with a call before and after it is made."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from lucid.isolation import working_for
from lucid.pipeline import Pipeline
from orchestrations.models import Attempt, Orchestration
from orchestrations.reconciling import check_rollups
from receipts.fsck import check_log
from receipts.quiet_logs import QUIET_AFTER
from tests.caller import RUN
from tests.orchestrations.calling import chat, infer, inferred, only_run, set_price
from tests.orchestrations.provider import CHAT, Scripted, open_account
from tests.orchestrations.runs import CALL, post, start
from tests.receipts.tampering import log_row

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one lock for all"
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


@on_postgresql
@pytest.mark.parametrize("call", [chat, infer])
def test_a_beginning_waits_for_no_lock_and_is_one_round_trip(
    alice, provider, worker, transactions, call
):
    open_account(alice.tenant, provider)
    call(alice)
    transactions.clear()
    call(alice)
    begin, *settle = transactions
    assert {"same_rights", "has_room", "insert_orchestrations_attempt_one"} <= set(
        begin
    )
    assert not {"begin", "lock_logs"} & set(begin)
    assert len(settle) <= 2


@on_postgresql
def test_a_budget_is_looked_at_under_the_lock(alice, provider, worker, transactions):
    open_account(alice.tenant, provider)
    run = start(alice, budget_cents=5)
    transactions.clear()
    assert chat(alice, X_Lucid_Orchestration=run).status_code == 200
    assert "insert_orchestrations_attempt_one" not in transactions[1]
    assert "lock_logs" in transactions[1]


def test_calls_in_a_run_are_recorded_in_it(alice, provider, worker):
    open_account(alice.tenant, provider)
    run = start(alice)
    for _ in range(3):
        assert chat(alice, X_Lucid_Orchestration=run).status_code == 200
    assert Orchestration.objects.get(pk=run).inference_count == 3


def test_one_refused_does_not_keep_others_from_beginning(alice, provider, worker):
    open_account(alice.tenant, provider)
    running, ended = start(alice), start(alice)
    post(alice, ended, "complete", {})

    def ask(run: str) -> int:
        status: int = chat(alice, X_Lucid_Orchestration=run).status_code
        connection.close()
        return status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, [running, ended] * 8))
    assert statuses == [200, 409] * 8


@pytest.mark.parametrize("calls", [254, 255, 256])
def test_a_run_of_one_call_ends_where_a_tile_of_the_log_is_full(
    alice, provider, worker, calls
):
    # A call and the ending of its run are two leaves, of which only one is foreseen.
    open_account(alice.tenant, provider)
    runs = [RUN | {"run_id": f"run-{n}"} for n in range(calls - 2 * QUIET_AFTER)]
    alice.post("/v1/receipts/batch", {"receipts": runs})
    answers = [inferred(alice) for _ in range(QUIET_AFTER + 4)]
    assert all(answer["receipt"] for answer in answers)
    assert check_log(log_row(alice).pk, lambda done: None) is None


def test_the_provider_is_called_when_the_attempt_is_there(alice, provider, worker):
    seen = []

    def look(place: int) -> None:
        with working_for(alice.tenant.pk):
            seen.append(Attempt.objects.count())
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
        with working_for(alice.tenant.pk):
            run = Orchestration.objects.get(status="running")
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
