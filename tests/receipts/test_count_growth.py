"""How many receipts a log had at a time, compared with counting them."""

import random
import uuid

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from lucid.isolation import working_for
from receipts.growth import sizes_at
from receipts.keyring import log_of
from receipts.models import Log, Receipt
from tenants.models import Tenant
from tests.admin.test_list_large_tables import ROWS, fill, plan_of
from tests.conftest import new_tenant


def log_with(tenant: Tenant, times: list[int]) -> Log:
    """A log whose entries were issued at these times, in their order in the log."""
    log = log_of(tenant.pk, "live")
    Receipt.objects.bulk_create(
        Receipt(
            id=uuid.uuid4(),
            tenant=tenant,
            log=log,
            leaf_index=index,
            entry=b"",
            leaf_hash=b"",
            receipt_hash=b"",
            run_id=f"run-{index}",
            receipt_type="compute",
            timestamp=0,
            issued_at=at,
        )
        for index, at in enumerate(times)
    )
    log.size = len(times)  # of this object alone: a head needs its tree
    return log


START = 1_790_000_000


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 64, 300])
@pytest.mark.parametrize("pace", [1, 40, 5000])
def test_it_is_what_counting_says_whatever_the_disorder(acme, size, pace):
    chance = random.Random(size * pace)
    at, times = START, []
    for _ in range(size):
        at += chance.randrange(pace)
        times.append(at - chance.randrange(30))  # signed, and then kept waiting
    log = log_with(acme, times)
    for _ in range(20):
        pair = sorted({START + chance.randrange(-99, size * pace + 99), START})
        expected = [sum(it < moment for it in times) for moment in pair]
        assert sizes_at(log, pair) == expected


def test_the_entries_of_one_second_stand_on_one_side(acme):
    log = log_with(acme, [START] * 10)
    assert sizes_at(log, [START, START + 1]) == [0, 10]


def test_other_logs_do_not_count(acme):
    log = log_with(acme, [START, START + 500])
    log_with(new_tenant("globex"), [START] * 5)
    assert sizes_at(log, [START + 100]) == [1]


def test_it_is_one_query(acme, django_assert_num_queries):
    log = log_with(acme, [START + second for second in range(0, 9000, 90)])
    with django_assert_num_queries(1):
        sizes_at(log, [START + 1000, START + 5000])


def test_it_looks_entries_up_and_reads_no_table(on_postgresql):
    if not on_postgresql:
        pytest.skip("SQLite has no plans to read")
    with transaction.atomic():
        tenant = new_tenant("large")
        log = log_of(tenant.pk, "live")
        fill(Receipt, {"tenant_id": tenant.pk, "log_id": log.pk})
        log.size = ROWS
        # As a page asks: under row-level security, which keeps conditions that may
        # fail away from indexes.
        with working_for(tenant.pk), CaptureQueriesContext(connection) as asked:
            sizes_at(log, [ROWS // 3, ROWS // 2])
        sql = asked.captured_queries[0]["sql"].partition("; ")[2]
        with working_for(tenant.pk):
            plan = list(plan_of(sql))
        transaction.set_rollback(True)
    reads = [node for node in plan if node.get("Relation Name") == "receipts_receipt"]
    assert reads
    assert "Seq Scan" not in {node["Node Type"] for node in reads}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in reads) < 1000
