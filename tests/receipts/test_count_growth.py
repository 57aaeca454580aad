"""How many receipts a log had at a time, compared with counting them."""

import random
import uuid

import pytest

from receipts.growth import sizes_at
from receipts.keyring import log_of
from receipts.models import Log, Receipt
from tenants.models import Tenant
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
