import threading
from datetime import date
from decimal import Decimal

import pytest
from django.db import connections, transaction
from django.utils import timezone

from orchestrations import budgets
from orchestrations.models import Budget, MonthSpend, UsageDay, UsageHour
from orchestrations.money import to_nanocents
from receipts.fsck import check_log
from tenants.models import Mode, Tenant
from tests.caller import Caller
from tests.conftest import new_caller, new_tenant
from tests.orchestrations.runs import CALL, exact, get, post, record, start
from tests.receipts.auditor import log_size
from tests.receipts.tampering import log_row

QUARTER = Decimal("0.25")  # what CALL costs
STEP = {"action": "tool_call", "cost_cents": QUARTER}


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


def set_budget(tenant, limit, mode=Mode.LIVE):
    budget, _ = Budget.objects.get_or_create(
        tenant=tenant, mode=mode, defaults={"limit": Decimal(limit)}
    )
    budget.limit = Decimal(limit)
    budget.save()
    return budget


def version(tenant):
    return Tenant.objects.get(pk=tenant.pk).keyring_version


def call(caller, run, **claims):
    return post(caller, run, "inferences", CALL | claims)


def assert_spent(answer):
    assert answer.status_code == 429, answer.content
    body = answer.json()
    assert body["error_code"] == "BUDGET_EXCEEDED"
    return body["message"]


def month_spent(caller):
    row = MonthSpend.objects.filter(tenant=caller.tenant, mode=caller.key.mode).first()
    return row.spent if row else 0


def assert_sound(caller):
    assert check_log(log_row(caller).pk, lambda done: None) is None


def at_once(count, action):
    barrier = threading.Barrier(count)
    results = []

    def act(number):
        try:
            barrier.wait()
            results.append(action(number))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class TestTheBudgetOfARun:
    def test_it_shows_what_is_left(self, alice):
        run = start(alice, budget_cents=1)
        record(alice, run)
        assert get(alice, run)["budget"] == {
            "limit_cents": 1,
            "spent_cents": QUARTER,
            "remaining_cents": Decimal("0.75"),
            "exceeded": False,
        }

    def test_the_call_that_passes_it_is_the_last(self, alice):
        run = start(alice, budget_cents=0.4)
        record(alice, run)
        record(alice, run)
        assert "0.4 cents" in assert_spent(call(alice, run))
        found = get(alice, run)
        assert found["total_cost_cents"] == 2 * QUARTER
        assert found["budget"]["remaining_cents"] == 0
        assert found["budget"]["exceeded"] is True
        assert found["inference_count"] == log_size(alice) == 2

    def test_spent_to_the_last_digit_nothing_is_left(self, alice):
        run = start(alice, budget_cents=0.5)
        record(alice, run)
        record(alice, run)
        assert_spent(call(alice, run))

    def test_a_millionth_of_a_cent_is_left(self, alice):
        run = start(alice, budget_cents=0.250001)
        record(alice, run)
        record(alice, run)
        assert_spent(call(alice, run))

    def test_one_of_nothing_allows_nothing(self, alice):
        run = start(alice, budget_cents=0)
        assert get(alice, run)["budget"]["exceeded"] is True
        assert_spent(call(alice, run, cost_cents=0))
        assert get(alice, run)["inference_count"] == 0

    def test_unpriced_calls_spend_nothing(self, alice):
        run = start(alice, budget_cents=0.001)
        for _ in range(3):
            record(alice, run, model="x", provider="custom", cost_cents=None)
        assert get(alice, run)["budget"]["exceeded"] is False

    def test_steps_spend_it_too(self, alice):
        run = start(alice, budget_cents=0.5)
        assert post(alice, run, "steps", STEP).status_code == 201
        record(alice, run)
        assert_spent(post(alice, run, "steps", STEP))
        assert_spent(call(alice, run))
        assert get(alice, run)["step_count"] == 1

    def test_the_step_of_a_call_is_not_paid_twice(self, alice):
        run = start(alice, budget_cents=0.5)
        record(alice, run)
        step = {"action": "llm_inference", "cost_cents": QUARTER}
        assert post(alice, run, "steps", step).status_code == 201
        assert get(alice, run)["total_cost_cents"] == QUARTER
        record(alice, run)

    def test_it_is_of_one_run(self, alice):
        run, other = start(alice, budget_cents=0.25), start(alice, budget_cents=0.25)
        record(alice, run)
        record(alice, other)
        assert_spent(call(alice, run))

    def test_what_was_recorded_is_answered_again(self, alice):
        run = start(alice, budget_cents=0.25)
        first = record(alice, run, inference_id="i")
        again = call(alice, run, inference_id="i")
        assert again.status_code == 200
        assert exact(again) == first
        assert_spent(call(alice, run, inference_id="j"))

    def test_the_run_goes_on_and_ends_as_any(self, alice):
        run = start(alice, budget_cents=0.25)
        record(alice, run)
        assert_spent(call(alice, run))
        ended = post(alice, run, "complete", {})
        assert ended.status_code == 200
        assert exact(ended)["total_cost_cents"] == QUARTER
        assert_sound(alice)

    def test_a_refusal_is_not_kept_under_an_idempotency_key(self, alice):
        run = start(alice, budget_cents=0)
        path = f"/v1/orchestrations/{run}/inferences"
        for _ in range(2):
            answer = alice.post(path, CALL, Idempotency_Key="k")
            assert_spent(answer)
            assert "Idempotent-Replayed" not in answer.headers

    def test_calls_at_once_pass_it_by_no_more_than_one(self, alice):
        run = start(alice, budget_cents=1.1)
        answers = at_once(16, lambda number: call(alice, run))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 5 + [429] * 11
        found = get(alice, run)
        assert found["total_cost_cents"] == 5 * QUARTER
        assert found["inference_count"] == log_size(alice) == 5
        assert_sound(alice)


class TestTheBudgetOfAMonth:
    def test_every_worker_hears_of_a_change(self, acme):
        versions = [version(acme)]
        budget = set_budget(acme, 1)
        versions.append(version(acme))
        budget.limit = 2
        budget.save()
        versions.append(version(acme))
        budget.delete()
        versions.append(version(acme))
        assert versions == sorted(set(versions))

    def test_a_change_that_is_rolled_back_changes_nothing(self, acme):
        before = version(acme)
        with transaction.atomic():
            set_budget(acme, 1)
            transaction.set_rollback(True)
        assert version(acme) == before

    def test_it_holds_at_once(self, alice, acme):
        run = start(alice)
        record(alice, run)
        budget = set_budget(acme, QUARTER)
        assert "this month" in assert_spent(call(alice, run))
        set_budget(acme, "0.3")
        record(alice, run)
        assert_spent(call(alice, run))
        budget.delete()
        record(alice, run)
        assert get(alice, run)["inference_count"] == 3

    def test_it_is_of_all_runs_together(self, alice, acme):
        set_budget(acme, "0.5")
        for _ in range(2):
            record(alice, start(alice))
        last = start(alice)
        assert_spent(call(alice, last))
        assert_spent(post(alice, last, "steps", STEP))
        assert month_spent(alice) == 2 * QUARTER
        assert log_size(alice) == 2

    def test_steps_spend_it_too(self, alice, acme):
        set_budget(acme, "0.5")
        run = start(alice)
        for _ in range(2):
            assert post(alice, run, "steps", STEP).status_code == 201
        assert_spent(call(alice, run))
        assert month_spent(alice) == 2 * QUARTER

    def test_it_is_of_one_tenant_and_mode(self, alice, alice_test, charlie, acme):
        set_budget(acme, 0)
        assert_spent(call(alice, start(alice)))
        for caller in (alice_test, charlie):
            record(caller, start(caller))
        set_budget(acme, 0, Mode.TEST)
        assert_spent(call(alice_test, start(alice_test)))

    def test_last_month_s_spending_is_not_this_month_s(self, alice, acme):
        record(alice, start(alice))
        MonthSpend.objects.filter(tenant=acme).update(month=date(2026, 1, 1))
        set_budget(acme, QUARTER)
        record(alice, start(alice))
        this_month = timezone.now().date().replace(day=1)
        spends = MonthSpend.objects.filter(tenant=acme).order_by("month")
        assert [(row.month, row.spent) for row in spends] == [
            (date(2026, 1, 1), QUARTER),
            (this_month, QUARTER),
        ]

    def test_what_was_recorded_is_answered_again(self, alice, acme):
        run = start(alice)
        first = record(alice, run, inference_id="i")
        set_budget(acme, 0)
        again = call(alice, run, inference_id="i")
        assert again.status_code == 200
        assert exact(again) == first

    def test_runs_may_start_and_end_nevertheless(self, alice, acme):
        set_budget(acme, 0)
        assert post(alice, start(alice), "complete", {}).status_code == 200

    def test_a_batch_is_refused_from_where_it_is_spent(self, alice, acme):
        set_budget(acme, "0.6")
        body = {"inferences": [CALL] * 5}
        results = post(alice, start(alice), "inferences/batch", body).json()["results"]
        assert [result["status"] for result in results] == [201] * 3 + [429] * 2
        assert month_spent(alice) == 3 * QUARTER

    def test_calls_at_once_in_many_runs_pass_it_by_no_more_than_one(self, alice, acme):
        set_budget(acme, "1.1")
        runs = [start(alice) for _ in range(4)]
        answers = at_once(16, lambda number: call(alice, runs[number % 4]))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 5 + [429] * 11
        assert month_spent(alice) == 5 * QUARTER
        assert sum(get(alice, run)["total_cost_cents"] for run in runs) == 5 * QUARTER
        assert log_size(alice) == 5
        assert_sound(alice)

    def test_of_both_budgets_the_run_s_is_named_first(self, alice, acme):
        set_budget(acme, 0)
        assert "orchestration" in assert_spent(
            call(alice, start(alice, budget_cents=0))
        )

    def test_it_is_read_once_for_a_version(self, acme, django_assert_num_queries):
        set_budget(acme, 7)
        now = version(acme)
        limit = budgets.month_limit(acme.pk, Mode.LIVE, now)
        assert limit == to_nanocents(Decimal(7))
        with django_assert_num_queries(0):
            assert budgets.month_limit(acme.pk, Mode.LIVE, now) == limit
            assert budgets.month_limit(acme.pk, Mode.LIVE, now) == limit

    def test_having_none_is_remembered_too(self, acme, django_assert_num_queries):
        now = version(acme)
        assert budgets.month_limit(acme.pk, Mode.LIVE, now) is None
        with django_assert_num_queries(0):
            assert budgets.month_limit(acme.pk, Mode.LIVE, now) is None

    def test_memory_is_bounded(self, database, monkeypatch):
        monkeypatch.setattr(budgets, "MEMORY_LIMIT", 2)
        for name in "abc":
            budgets.month_limit(new_tenant(name).pk, Mode.LIVE, 1)
        assert len(budgets._memory) <= 2


def test_rollups_are_the_sums_of_what_was_recorded(alice):
    runs = [start(alice, workflow_id=name) for name in ("", "w")]
    for run in runs:
        for _ in range(3):
            record(alice, run)
        record(alice, run, model="x", provider="custom", cost_cents=None)
        record(alice, run, latency_ms=None, cost_cents=Decimal("0.000001"))
        assert post(alice, run, "steps", STEP).status_code == 201
        call(alice, run, provider="refused")
        post(alice, run, "complete", {})
    of_calls, of_steps = 6 * QUARTER + Decimal("0.000002"), 2 * QUARTER
    for table in (UsageDay, UsageHour):
        rows = table.objects.filter(tenant=alice.tenant)
        assert sum(row.calls for row in rows) == 10
        assert sum(row.cost for row in rows) == of_calls
        assert sum(row.step_cost for row in rows) == of_steps
        assert sum(row.steps for row in rows) == 2
        assert sum(row.unpriced for row in rows) == 2
        assert sum(row.timed for row in rows) == 8
        assert sum(row.latency_ms for row in rows) == 8 * 850
        assert sum(row.output_tokens for row in rows) == 10 * 128
    assert month_spent(alice) == of_calls + of_steps
