"""Recording in a run that only this process writes to, without a look at it first.

What another process does meanwhile is played by this one, which then forgets it.
"""

import copy

import pytest
from django.db import connection

from orchestrations.books import OrchestrationBooks
from orchestrations.models import Inference, UsageDay
from receipts import ledger
from receipts.fsck import check_log
from receipts.postgres import PostgresTransaction
from receipts.quiet_logs import QUIET_AFTER
from tests.orchestrations.runs import CALL, exact, get, post, record, start
from tests.receipts.tampering import log_row

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no round trips to save"
)


@pytest.fixture
def unseen(monkeypatch):
    """Count the batches that were written without a look, successful or not."""
    outcomes: list[bool | None] = []
    commit_to = PostgresTransaction.commit_to

    def counted(self, head, changes):
        outcomes.append(None)
        outcomes[-1] = commit_to(self, head, changes)
        return outcomes[-1]

    monkeypatch.setattr(PostgresTransaction, "commit_to", counted)
    return outcomes


@pytest.fixture
def run(alice):
    """A run that has been written to for long enough to be known."""
    run = start(alice)
    for _ in range(QUIET_AFTER + 1):
        record(alice, run)
    return run


class Elsewhere:
    """What happens within is another process's doing: this one knows nothing of it."""

    def __enter__(self):
        self.runs = copy.deepcopy(OrchestrationBooks._memory)
        self.logs = copy.deepcopy(ledger._quiet_logs._known)

    def __exit__(self, *error):
        OrchestrationBooks._memory.clear()
        OrchestrationBooks._memory.update(self.runs)
        ledger._quiet_logs._known = self.logs


def assert_sound(alice, run, count):
    assert check_log(log_row(alice).pk, lambda done: None) is None
    assert get(alice, run)["inference_count"] == count
    assert Inference.objects.filter(orchestration_id=run).count() == count
    (day,) = UsageDay.objects.filter(tenant=alice.tenant, calls__gt=0)
    assert day.calls == count


def test_calls_are_recorded_unseen(alice, run, unseen):
    before = get(alice, run)
    record(alice, run)
    record(alice, run)
    assert unseen == [True, True]
    after = get(alice, run)
    cost = exact(post(alice, run, "complete", {}))["total_cost_cents"]
    assert after["total_cost_cents"] == cost
    assert after["inference_count"] == before["inference_count"] + 2
    assert_sound(alice, run, QUIET_AFTER + 3)


def test_an_end_that_was_not_seen_is_respected(alice, run, unseen):
    with Elsewhere():
        post(alice, run, "complete", {})
    answer = post(alice, run, "inferences", CALL)
    assert unseen == [False]
    assert answer.json()["error_code"] == "NOT_RUNNING"
    assert_sound(alice, run, QUIET_AFTER + 1)


def test_a_call_that_was_not_seen_is_counted(alice, run, unseen):
    with Elsewhere():
        record(alice, run)
        unseen.clear()
    record(alice, run)
    assert unseen == [False]
    assert_sound(alice, run, QUIET_AFTER + 3)


def test_a_step_that_was_not_seen_is_not_lost(alice, run, unseen):
    # It makes no entry, so the log does not tell.
    with Elsewhere():
        assert post(alice, run, "steps", {"action": "decision"}).status_code == 201
        unseen.clear()
    record(alice, run)
    assert unseen == [False]
    assert get(alice, run)["step_count"] == 1
    assert_sound(alice, run, QUIET_AFTER + 2)


def test_a_repeat_is_found(alice, run, unseen):
    first = record(alice, run, inference_id="one")
    again = post(alice, run, "inferences", CALL | {"inference_id": "one"})
    assert (again.status_code, exact(again)) == (200, first)
    assert_sound(alice, run, QUIET_AFTER + 2)


def test_a_budget_is_kept(alice, unseen):
    run = start(alice, budget_cents=3)
    for _ in range(12):
        record(alice, run)
    answer = post(alice, run, "inferences", CALL)
    assert answer.json()["error_code"] == "BUDGET_EXCEEDED"
    assert unseen[:-1] == [True] * len(unseen[:-1])
    assert_sound(alice, run, 12)
