"""What a client is told of its limits, and when it is one too many (WIRE section 1)."""

import time

import pytest

from tenants.models import ApiKey, Tenant
from tenants.rate_limits import MINUTE
from tests.caller import RUN

HEADERS = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


@pytest.fixture(autouse=True)
def _within_a_minute(database):
    """Begin none of these at the end of a minute, where counts begin anew."""
    left = MINUTE - time.time() % MINUTE
    if left < 10:
        time.sleep(left)


def limit(caller, *, key=None, tenant=None):
    ApiKey.objects.filter(pk=caller.key.pk).update(requests_per_minute=key)
    Tenant.objects.filter(pk=caller.tenant.pk).update(requests_per_minute=tenant)
    caller.tenant.forget_keys()


def told(answer):
    return [answer.headers.get(name) for name in HEADERS]


def test_without_a_limit_nothing_is_told(alice):
    assert told(alice.get("/v1/receipts")) == [None] * 3


def test_reads_and_writes_count_alike(alice):
    limit(alice, key=3)
    answers = [alice.get("/v1/receipts"), alice.post("/v1/receipts", RUN)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [told(answer)[:2] for answer in answers] == [["3", "2"], ["3", "1"]]
    reset = int(told(answers[0])[2])
    assert 0 < reset - time.time() <= MINUTE


@pytest.mark.parametrize("method", ["get", "post"])
def test_one_too_many_is_429_and_does_nothing(alice, method):
    limit(alice, tenant=1)
    alice.get("/v1/mmr/root")
    answer = alice.request(method.upper(), "/v1/receipts", b"{}")
    assert answer.status_code == 429
    assert answer.json()["error_code"] == "RATE_LIMITED"
    assert told(answer)[:2] == ["1", "0"]
    assert 1 <= int(answer.headers["Retry-After"]) <= MINUTE
    limit(alice)
    assert alice.get("/v1/receipts").json()["receipts"] == []


def test_bad_requests_count_too(alice):
    limit(alice, key=2)
    assert told(alice.post("/v1/receipts", {}))[1] == "1"
    assert told(alice.get("/v1/receipts/nothing"))[1] == "0"


def test_the_keys_of_a_tenant_share_its_limit(alice, bob):
    limit(alice, tenant=2)
    assert told(alice.get("/v1/receipts"))[1] == "1"
    assert told(bob.get("/v1/receipts"))[1] == "0"
    assert alice.get("/v1/receipts").status_code == 429


def test_others_are_not_held_up(alice, charlie):
    limit(alice, tenant=1)
    for _ in range(2):
        alice.get("/v1/receipts")
    answer = charlie.get("/v1/receipts")
    assert answer.status_code == 200
    assert told(answer) == [None] * 3


def test_a_key_that_is_refused_is_not_counted(alice):
    limit(alice, key=1)
    for _ in range(3):
        assert alice.get("/v1/receipts", X_Tenant_ID="globex").status_code == 403
    assert alice.get("/v1/receipts").status_code == 200
