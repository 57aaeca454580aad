"""Requests a minute, counted in the database whoever takes them."""

import threading
import time
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, connections, transaction

from lucid.api.allowance import Allowance
from lucid.api.errors import ApiError
from tenants import rate_limits
from tenants.models import RateCount
from tenants.rate_limits import MINUTE

PATIENCE = 60  # seconds


def take(tenant_id, limits):
    return rate_limits.take(tenant_id, limits)[0]


@pytest.fixture(autouse=True)
def _within_a_minute(database):
    """Begin none of these at the end of a minute, where counts begin anew."""
    left = MINUTE - time.time() % MINUTE
    if left < 10:
        time.sleep(left)


def test_each_request_is_counted(acme):
    lefts = [take(acme.pk, {acme.pk: 3}).left for _ in range(5)]
    assert lefts == [2, 1, 0, -1, -2]


def test_the_tighter_of_two_limits_is_told(acme):
    key = uuid4()
    allowance = take(acme.pk, {key: 2, acme.pk: 100})
    assert (allowance.limit, allowance.left) == (2, 1)
    for _ in range(5):
        take(acme.pk, {acme.pk: 3})
    assert take(acme.pk, {key: 20, acme.pk: 3}).limit == 3


def test_the_count_ends_with_its_minute(acme):
    take(acme.pk, {acme.pk: 3})
    row = RateCount.objects.get(tenant=acme)
    assert take(acme.pk, {acme.pk: 3}).reset == (row.minute + 1) * MINUTE
    RateCount.objects.filter(pk=row.pk).update(minute=row.minute - 1, used=50)
    assert take(acme.pk, {acme.pk: 3}).left == 2


def test_a_batch_that_waited_counts_in_the_minute_that_has_begun(acme):
    take(acme.pk, {acme.pk: 3})
    row = RateCount.objects.get(tenant=acme)
    RateCount.objects.filter(pk=row.pk).update(minute=row.minute + 1)
    allowance = take(acme.pk, {acme.pk: 3})
    assert (allowance.left, allowance.reset) == (1, (row.minute + 2) * MINUTE)


def test_tenants_have_counts_of_their_own(acme, charlie):
    subject = uuid4()  # as if an id could be another's
    take(acme.pk, {subject: 3})
    assert take(charlie.tenant.pk, {subject: 3}).left == 2


def test_those_who_come_at_once_each_have_a_place(acme):
    found, start = [], threading.Barrier(16)

    def ask():
        start.wait(PATIENCE)
        for _ in range(10):
            found.append(take(acme.pk, {acme.pk: 1000}).left)
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(found, reverse=True) == list(range(999, 839, -1))


def test_what_the_server_has_ended_is_connected_anew(acme):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    take(acme.pk, {acme.pk: 3})
    ours = rate_limits._connection._pipeline
    assert ours
    pid = ours._connection.info.backend_pid
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert take(acme.pk, {acme.pk: 3}).left == 1


def test_what_cannot_be_counted_is_not_let_through(acme, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL's own connection")
    rate_limits.disconnect()
    nowhere = {"host": "127.0.0.1", "port": 1, "connect_timeout": 2}
    monkeypatch.setattr("tenants.rate_limits.parameters", lambda: nowhere)
    with pytest.raises(OperationalError):
        take(acme.pk, {acme.pk: 3})


def test_it_says_when_to_come_again():
    allowance = Allowance(limit=3, left=-1, reset=int(time.time()) + 30)
    with pytest.raises(ApiError) as refused:
        allowance.check()
    assert refused.value.status == 429
    assert refused.value.retry_after in {29, 30}
    assert allowance.headers()["X-RateLimit-Remaining"] == "0"
    Allowance(limit=3, left=0, reset=0).check()


def test_the_number_of_the_tenants_keys_comes_along(acme):
    before = rate_limits.take(acme.pk, {acme.pk: 3})[1]
    acme.forget_keys()
    assert rate_limits.take(acme.pk, {acme.pk: 3})[1] == before + 1
