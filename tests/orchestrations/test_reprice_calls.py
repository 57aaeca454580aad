"""manage.py reprice: adjustments beside what was charged, never instead of it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from orchestrations.models import Adjustment, Inference, Price, UsageDay
from receipts.fsck import check_log
from receipts.models import Receipt
from tests.orchestrations.runs import exact, get, post, record, start
from tests.receipts.tampering import log_row

TODAY = datetime.now(UTC).date()
OURS = {"cost_cents": None, "provider": "custom", "model": "house-7b"}


def run_reprice(tenant, *options, first=TODAY, last=TODAY + timedelta(days=1)):
    out = StringIO()
    period = ["--from", str(first), "--to", str(last)]
    call_command("reprice", tenant.slug, *period, "--json", *options, stdout=out)
    return json.loads(out.getvalue())


def set_price(tenant, rate, **names):
    Price.objects.filter(tenant=tenant).delete()
    tenant.forget_keys()
    return Price.objects.create(
        tenant=tenant,
        provider="custom",
        model="house-7b",
        valid_from=timezone.now() - timedelta(days=1),
        input_rate=Decimal(rate),
        output_rate=Decimal(rate),
        **names,
    )


def used(tenant):
    (day,) = UsageDay.objects.filter(tenant=tenant)
    return day


def assert_sound(alice):
    assert check_log(log_row(alice).pk, lambda done: None) is None
    call_command("check_rollups", alice.tenant.slug, "--json", stdout=StringIO())


@pytest.fixture
def run(alice):
    """Three calls of 170 tokens: one unpriced, one priced by us, one claimed."""
    run = start(alice)
    record(alice, run, **OURS)
    set_price(alice.tenant, 100)
    record(alice, run, **OURS)
    record(alice, run, **OURS | {"cost_cents": Decimal("0.5")})
    return run


def test_what_has_another_price_is_adjusted(alice, run):
    set_price(alice.tenant, 200)
    done = run_reprice(alice.tenant)
    assert done["adjusted"] == 2
    assert done["looked_at"] == 2
    assert done["difference_cents"] == "5.1"  # 3.4 of the first, 1.7 of the second
    found = get(alice, run)
    assert found["total_cost_cents"] == Decimal("2.2")
    assert found["adjusted_cost_cents"] == Decimal("7.3")
    day = used(alice.tenant)
    assert (day.cost, day.adjustment) == (Decimal("2.2"), Decimal("5.1"))
    assert (day.unpriced, day.priced_later) == (1, 1)
    assert_sound(alice)


def test_the_costs_show_both(alice, run):
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    totals = exact(alice.get("/v1/costs"))["totals"]
    assert totals["cost_cents"] == Decimal("2.2")
    assert totals["adjusted_cost_cents"] == Decimal("7.3")
    assert (totals["unpriced"], totals["unpriced_as_recorded"]) == (0, 1)


def test_each_has_a_receipt_that_names_what_it_adjusts(alice, run):
    calls = exact(alice.get(f"/v1/orchestrations/{run}/inferences"))["inferences"]
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant, "--reason", "contract of May")
    receipts = Receipt.objects.filter(
        tenant=alice.tenant, receipt_type="adjustment", orchestration_id=run
    ).order_by("leaf_index")
    first, second = [json.loads(bytes(receipt.entry)) for receipt in receipts]
    assert first["adjusts"]["receipt_hash"] == calls[2]["receipt_hash"]
    assert second["adjusts"]["run_id"] == calls[1]["inference_id"]
    assert first["reason"] == "contract of May"
    assert first["cost"]["after_cents"] == "3.4"
    assert "before_cents" not in first["cost"]
    assert second["cost"]["before_cents"] == "1.7"
    # The run's own inferences are what they were.
    assert get(alice, run)["inferences"]["count"] == 3


def test_twice_changes_nothing_more(alice, run):
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    again = run_reprice(alice.tenant)
    assert (again["adjusted"], again["difference_cents"]) == (0, "0")
    assert_sound(alice)


def test_and_back_again(alice, run):
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    set_price(alice.tenant, 100)
    assert run_reprice(alice.tenant)["difference_cents"] == "-3.4"
    assert Adjustment.objects.filter(tenant=alice.tenant).count() == 4
    day = used(alice.tenant)
    assert (day.adjustment, day.priced_later) == (Decimal("1.7"), 1)
    assert get(alice, run)["adjusted_cost_cents"] == Decimal("3.9")
    assert_sound(alice)


def test_a_dry_run_writes_nothing(alice, run):
    set_price(alice.tenant, 200)
    done = run_reprice(alice.tenant, "--dry-run")
    assert (done["adjusted"], done["difference_cents"]) == (2, "5.1")
    assert not Adjustment.objects.filter(tenant=alice.tenant).exists()
    assert used(alice.tenant).adjustment == 0


def test_what_has_no_price_any_more_keeps_its_own(alice, run):
    Price.objects.filter(tenant=alice.tenant).delete()
    alice.tenant.forget_keys()
    done = run_reprice(alice.tenant)
    assert (done["adjusted"], done["unpriced"]) == (0, 2)


def test_the_price_is_that_of_the_time_of_the_call(alice):
    run = start(alice)
    earlier = datetime.now(UTC) - timedelta(hours=2)
    record(alice, run, **OURS, started_at=earlier.isoformat())
    set_price(alice.tenant, 100).delete()
    set_price(alice.tenant, 300, valid_to=earlier + timedelta(minutes=1))
    assert run_reprice(alice.tenant)["difference_cents"] == "5.1"


def test_other_days_modes_and_tenants_are_left_alone(alice, run, charlie):
    set_price(alice.tenant, 200)
    yesterday = TODAY - timedelta(days=1)
    assert run_reprice(alice.tenant, first=yesterday, last=yesterday)["looked_at"] == 0
    assert run_reprice(alice.tenant, "--mode", "test")["looked_at"] == 0
    assert run_reprice(charlie.tenant)["looked_at"] == 0


def test_an_ended_run_is_adjusted_too_and_stays_as_it_ended(alice, run):
    ended = exact(post(alice, run, "complete", {}))
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    after = get(alice, run)
    assert after["receipt_id"] == ended["receipt_id"]
    assert after["total_cost_cents"] == ended["total_cost_cents"]
    assert_sound(alice)


@pytest.mark.parametrize(
    "options",
    [
        ["--from", "2026-13-01", "--to", "2026-01-01"],
        ["--from", "2026-02-01", "--to", "2026-01-01"],
        ["--from", "2026-02-01"],
        ["--from", "2026-01-01", "--to", "2026-01-01", "--reason", ""],
    ],
)
def test_bad_options_are_refused(alice, options):
    with pytest.raises(CommandError):
        call_command("reprice", alice.tenant.slug, *options)


def test_calls_are_what_they_were(alice, run):
    before = list(Inference.objects.filter(tenant=alice.tenant).values())
    set_price(alice.tenant, 200)
    run_reprice(alice.tenant)
    assert list(Inference.objects.filter(tenant=alice.tenant).values()) == before
