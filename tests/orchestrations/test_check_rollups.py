import json
import random
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest
from django.core.management import execute_from_command_line
from django.db import connection
from django.db.models import F

from lucid.isolation import working_for
from orchestrations.models import (
    Adjustment,
    Inference,
    MonthSpend,
    Orchestration,
    RunDay,
    RunMonth,
    Step,
    UsageDay,
    UsageHour,
    UsageMonth,
)
from orchestrations.reconciling import Difference, check_rollups
from tests.conftest import new_caller
from tests.orchestrations.usage_rows import Ledger

BEGIN = datetime(2026, 10, 20, 22, tzinfo=UTC)
ROLLUPS = (UsageDay, UsageMonth, UsageHour, RunDay, RunMonth, MonthSpend)


def busy(caller) -> Ledger:
    """Some weeks over the end of a month, with everything that there is."""
    source = random.Random(5)
    ledger = Ledger(caller)
    for number in range(12):
        begin = BEGIN + timedelta(hours=31 * number)
        run = ledger.run(begin, f"agent-{number % 3}", f"flow-{number % 2}")
        for place in range(number % 5):
            call = ledger.call(
                begin + timedelta(minutes=45 * place),
                None if place == 3 else Decimal(source.randrange(10**12)).scaleb(-9),
                run,
                model=f"m{place % 2}",
                provider="anthropic" if place else "openai",
                cache_read_tokens=source.randrange(1000),
                cache_write_5m_tokens=source.randrange(1000),
                cache_write_1h_tokens=source.randrange(1000),
                reasoning_tokens=source.randrange(10),
                latency_ms=None if place == 2 else source.randrange(5000),
                flagged=place == 1,
                outcome=("", "completed", "cut", "failed")[place],
                list_price=None if place == 3 else Decimal(place),
            )
            if place % 2:
                for days in (1, 40):
                    ledger.adjust(call, number + days, begin + timedelta(days=days))
        for action in ("tool_call", "llm_inference", "decision"):
            ledger.step(begin, run, "0.125", action=action)
        if number % 6:
            status = ("failed", "completed")[number % 2]
            ledger.end(run, begin + timedelta(hours=3), status)
    ledger.call(BEGIN, 3)  # of no run
    ledger.write()
    return ledger


def check(caller) -> Difference | None:
    return check_rollups(caller.tenant.pk, caller.key.mode, lambda done: None)


def first(model: Any, caller, /, **conditions):
    return model.objects.filter(tenant=caller.tenant, **conditions).order_by("pk")[:1]


def change(model: Any, caller, /, **columns) -> None:
    """Change one row of the tenant's behind the ledger's back."""
    rows = model.objects.filter(pk__in=first(model, caller).values("pk"))
    assert rows.update(**columns) == 1


def difference(caller) -> Difference:
    found = check(caller)
    assert found
    return found


def write_another(caller):
    with working_for(caller.tenant.pk):
        template = Inference.objects.all()[0]
        template.pk, template.leaf_index = uuid.uuid4(), 1000
        template.recorded_at += timedelta(days=300)
        template.save(force_insert=True)
    connection.close()


class TestBooksInOrder:
    def test_of_nothing(self, alice):
        assert check(alice) is None

    def test_of_everything_there_is(self, alice):
        busy(alice)
        assert check(alice) is None

    def test_are_those_of_each_mode_and_tenant(self, alice, acme, charlie):
        test = new_caller(acme, mode="test")
        for caller in (alice, test, charlie):
            busy(caller)
        change(UsageDay, charlie, calls=99)
        change(UsageDay, alice, calls=99)
        assert check(test) is None
        assert difference(alice).table == "UsageDay"

    def test_may_have_rows_of_zeros(self, alice):
        for model in (UsageDay, UsageHour):
            model.objects.create(
                tenant=alice.tenant,
                mode="live",
                day=BEGIN.date(),
                api_key_id=alice.key.pk,
                **({"hour": 1, "latency_band": 3} if model is UsageHour else {}),
            )
        assert check(alice) is None

    def test_it_tells_how_far_it_is(self, alice):
        ledger = busy(alice)
        done: list[int] = []
        check_rollups(alice.tenant.pk, "live", done.append)
        records = [*ledger.calls, *ledger.steps, *ledger.runs]
        assert sum(done) == len(records)

    def test_stay_so_while_calls_are_recorded(self, alice):
        busy(alice)
        threads: list[Thread] = []

        def record(done):
            if not threads:
                threads.append(Thread(target=write_another, args=(alice,)))
                threads[0].start()
                threads[0].join()

        assert check_rollups(alice.tenant.pk, "live", record) is None
        assert len(threads) == 1
        # The other one wrote a call, and no rollup for it.
        assert difference(alice).table == "UsageDay"

    def test_leave_the_connection_as_it_was(self, alice):
        busy(alice)
        change(UsageDay, alice, calls=99)
        check(alice)
        assert connection.get_autocommit()
        change(UsageDay, alice, calls=98)

    def test_leave_it_so_when_they_are_interrupted(self, alice):
        busy(alice)

        def interrupt(done):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check_rollups(alice.tenant.pk, "live", interrupt)
        assert connection.get_autocommit()
        assert check(alice) is None


class TestADifference:
    @pytest.mark.parametrize("model", [UsageDay, UsageHour])
    @pytest.mark.parametrize(
        "column",
        [
            "calls",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost",
            "list_price",
            "unpriced",
            "flagged",
            "failed",
            "latency_ms",
            "timed",
            "steps",
            "step_cost",
        ],
    )
    def test_in_usage(self, alice, model, column):
        busy(alice)
        change(model, alice, **{column: F(column) + 1})
        found = difference(alice)
        assert found.table == model.__name__
        assert found.expected.keys() == found.found.keys() == {column}

    @pytest.mark.parametrize("column", ["adjustment", "priced_later"])
    def test_in_adjusted_usage(self, alice, column):
        busy(alice)
        change(UsageDay, alice, **{column: F(column) + 1})
        assert difference(alice).expected.keys() == {column}

    @pytest.mark.parametrize("model", [UsageDay, UsageHour])
    @pytest.mark.parametrize(
        "names",
        [
            {"model": "x"},
            {"provider": "x"},
            {"agent_id": "x"},
            {"workflow_id": "x"},
            {"api_key_id": uuid.UUID(int=7)},
            {"day": BEGIN.date() - timedelta(days=9)},
            {"day": BEGIN.date() + timedelta(days=99)},
            {"mode": "test"},
        ],
    )
    def test_in_what_usage_is_of(self, alice, model, names):
        busy(alice)
        change(model, alice, **names)
        assert difference(alice).table == model.__name__

    @pytest.mark.parametrize("names", [{"hour": 3}, {"latency_band": 99}])
    def test_in_what_hourly_usage_is_of(self, alice, names):
        busy(alice)
        change(UsageHour, alice, **names)
        assert difference(alice).table == "UsageHour"

    @pytest.mark.parametrize(
        "columns",
        [
            {"runs": 7},
            {"cost": Decimal("0.5")},
            {"day": BEGIN.date()},
            {"value": "x"},
            {"status": "cancelled"},
            {"cost_band": 0},
        ],
    )
    @pytest.mark.parametrize("dimension", ["", "model", "provider", "api_key"])
    def test_in_runs(self, alice, dimension, columns):
        busy(alice)
        rows = first(RunDay, alice, dimension=dimension, cost_band__gt=0)
        RunDay.objects.filter(pk__in=rows.values("pk")).update(**columns)
        assert difference(alice).table == "RunDay"

    @pytest.mark.parametrize(
        "columns",
        [
            {"runs": 7},
            {"cost": Decimal("0.5")},
            {"month": "2020-01-01"},
            {"value": "x"},
        ],
    )
    def test_in_runs_of_a_month(self, alice, columns):
        busy(alice)
        change(RunMonth, alice, **columns)
        assert difference(alice).table == "RunMonth"

    @pytest.mark.parametrize(
        "columns",
        [
            *({name: F(name) + 1} for name in ("calls", "adjustment", "priced_later")),
            {"cost": Decimal("0.5")},
            {"month": "2020-01-01"},
            {"agent_id": "x"},
        ],
    )
    def test_in_the_usage_of_a_month(self, alice, columns):
        busy(alice)
        change(UsageMonth, alice, **columns)
        assert difference(alice).table == "UsageMonth"

    @pytest.mark.parametrize("columns", [{"spent": 1}, {"month": "2020-01-01"}])
    def test_in_what_was_spent_in_a_month(self, alice, columns):
        busy(alice)
        change(MonthSpend, alice, **columns)
        assert difference(alice).table == "MonthSpend"

    @pytest.mark.parametrize("model", ROLLUPS)
    def test_by_a_row_that_is_missing(self, alice, model):
        busy(alice)
        model.objects.filter(pk__in=first(model, alice).values("pk")).delete()
        assert difference(alice).table == model.__name__

    @pytest.mark.parametrize("model", ROLLUPS)
    def test_by_all_rows_that_are_missing(self, alice, model):
        busy(alice)
        model.objects.filter(tenant=alice.tenant).delete()
        assert difference(alice).table == model.__name__

    @pytest.mark.parametrize(
        "column",
        [
            "inference_count",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost",
            "list_price",
            "unpriced_count",
            "flagged_count",
            "failed_count",
            "step_count",
            "step_cost",
        ],
    )
    @pytest.mark.parametrize("ended", [True, False])
    def test_in_the_totals_of_a_run(self, alice, column, ended):
        busy(alice)
        rows = first(Orchestration, alice, ended_at__isnull=not ended)
        (run,) = rows
        Orchestration.objects.filter(pk=run.pk).update(**{column: F(column) + 1})
        found = difference(alice)
        assert (found.table, found.key) == ("Orchestration", {"id": run.pk})
        assert found.expected.keys() == {column}

    def test_in_what_a_run_cost_in_the_end(self, alice):
        busy(alice)
        (run,) = first(Orchestration, alice, ended_at__isnull=False)
        cost = run.final_cost + 1
        Orchestration.objects.filter(pk=run.pk).update(final_cost=cost)
        found = difference(alice)
        assert (found.table, found.key) == ("Orchestration", {"id": run.pk})
        assert found.expected == {"final_cost": run.total_cost}

    @pytest.mark.parametrize("frontier", [b"", bytes(32), bytes(64)])
    def test_in_the_tree_of_a_run(self, alice, frontier):
        busy(alice)
        run = Orchestration.objects.filter(tenant=alice.tenant, inference_count=4)[0]
        Orchestration.objects.filter(pk=run.pk).update(frontier=frontier)
        assert difference(alice).expected.keys() == {"frontier"}

    def test_in_the_order_of_its_calls(self, alice):
        busy(alice)
        run = Orchestration.objects.filter(tenant=alice.tenant, inference_count=4)[0]
        calls = Inference.objects.filter(orchestration_id=run.pk)
        last = calls.order_by("-leaf_index")[:1]
        calls.filter(pk__in=last.values("pk")).update(leaf_index=-1)
        assert difference(alice).expected.keys() == {"frontier"}

    def test_by_a_call_that_was_changed(self, alice):
        busy(alice)
        change(Inference, alice, input_tokens=F("input_tokens") + 1)
        assert difference(alice).table == "UsageDay"

    def test_by_an_adjustment_that_was_changed(self, alice):
        ledger = busy(alice)
        last = max(ledger.adjustments, key=lambda it: it.recorded_at)
        Adjustment.objects.filter(pk=last.pk).update(after=F("after") + 1)
        assert difference(alice).expected.keys() == {"adjustment"}

    @pytest.mark.parametrize(
        ("model", "column"),
        [
            (Inference, "orchestration_id"),
            (Step, "orchestration_id"),
            (Adjustment, "inference_id"),
        ],
    )
    def test_by_a_record_of_nothing_there_is(self, alice, model, column):
        busy(alice)
        nothing = "maip-orch:x" if column == "orchestration_id" else uuid.uuid4()
        change(model, alice, **{column: nothing})
        found = difference(alice)
        assert found.table == model.__name__
        assert found.expected == {column: nothing}

    def test_the_first_of_several_is_named(self, alice):
        ledger = Ledger(alice)
        for days in range(4):
            ledger.call(BEGIN + timedelta(days=days), 2)
        ledger.write()
        for days in (3, 1, 2):
            day = BEGIN.date() + timedelta(days=days)
            UsageDay.objects.filter(tenant=alice.tenant, day=day).update(cost="0.75")
        assert check(alice) == Difference(
            "UsageDay",
            {
                "day": BEGIN.date() + timedelta(days=1),
                "model": "gpt-5",
                "provider": "openai",
                "agent_id": "",
                "workflow_id": "",
                "api_key_id": alice.key.pk,
            },
            {"cost": 2},
            {"cost": Decimal("0.75")},
        )


class TestTheCommand:
    @pytest.fixture
    def shell(self, capsys):
        """Run `manage.py check_rollups`; return exit code, stdout and stderr."""

        def run(*arguments):
            capsys.readouterr()
            try:
                execute_from_command_line(["manage.py", "check_rollups", *arguments])
            except SystemExit as end:
                code = end.code
            else:
                code = 0
            return code, *capsys.readouterr()

        return run

    def test_equal(self, alice, shell):
        busy(alice)
        slug = alice.tenant.slug
        assert shell(slug) == (
            0,
            f"{slug} (live): 22 inferences, 36 steps, 12 orchestrations\nEQUAL\n",
            "",
        )

    def test_different(self, alice, shell):
        ledger = Ledger(alice)
        ledger.call(BEGIN, "1.5")
        ledger.write()
        MonthSpend.objects.filter(tenant=alice.tenant).update(spent=2)
        code, out, err = shell(alice.tenant.slug)
        assert (code, err) == (1, "")
        assert out.splitlines()[1] == (
            "DIFFERENT: MonthSpend month=2026-10-01: expected spent=1.5, found spent=2"
        )

    def test_as_json(self, alice, shell):
        ledger = Ledger(alice)
        ledger.call(BEGIN, "1.5")
        ledger.write()
        MonthSpend.objects.filter(tenant=alice.tenant).update(spent=2)
        code, out, err = shell(alice.tenant.slug, "--json")
        (line,) = out.splitlines()
        found = json.loads(line)
        assert (code, err) == (1, "")
        assert found.pop("seconds") >= 0
        assert found == {
            "tenant": alice.tenant.slug,
            "mode": "live",
            "inferences": 1,
            "steps": 0,
            "orchestrations": 0,
            "verdict": "DIFFERENT",
            "difference": {
                "table": "MonthSpend",
                "key": {"month": "2026-10-01"},
                "expected": {"spent": "1.5"},
                "found": {"spent": "2"},
            },
        }

    def test_of_test_data(self, acme, alice, shell):
        busy(alice)
        code, out, _ = shell(acme.slug, "--mode", "test", "--json")
        assert (code, json.loads(out)["inferences"]) == (0, 0)

    def test_an_unknown_tenant_is_refused(self, database, shell):
        code, out, err = shell("nobody")
        assert (code, out) == (1, "")
        assert err == "CommandError: There is no tenant 'nobody'.\n"
