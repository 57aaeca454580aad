import pytest

from tenants.scopes import KNOWN, allows
from tests.caller import RUN
from tests.conftest import new_caller
from tests.receipts.auditor import log_size

READS = [
    "/v1/receipts",
    "/v1/receipts/run-1",
    "/v1/receipts/batch",
    "/v1/receipts/run-1/verify",
    "/v1/receipts/run-1/proof",
    "/v1/verify/" + "0" * 64,
    "/v1/mmr/root",
    "/v1/signer/pubkey",
]
WRITES = ["/v1/receipts", "/v1/receipts/batch"]
BODY = RUN | {"receipts": [RUN]}


def assert_lacking(answer, scope):
    assert answer.status_code == 403
    body = answer.json()
    assert body["error_code"] == "INSUFFICIENT_SCOPE"
    assert scope in body["message"]
    assert body["details"] == {"scope": [scope]}


@pytest.mark.parametrize(
    ("granted", "needed", "allowed"),
    [
        (["receipts:read"], "receipts:read", True),
        (["receipts:read"], "receipts:write", False),
        (["receipts:write"], "receipts:read", False),
        (["receipts:*"], "receipts:read", True),
        (["receipts:*"], "receipts:write", True),
        (["receipts:*"], "orchestrations:read", False),
        (["*"], "receipts:write", True),
        (["audit:read", "receipts:read"], "receipts:read", True),
        ([], "receipts:read", False),
        (["receipts"], "receipts:read", False),
        (["receipts:"], "receipts:read", False),
        (["receipts:re"], "receipts:read", False),
        (["*:read"], "receipts:read", False),
    ],
)
def test_a_scope_allows_what_it_names(granted, needed, allowed):
    assert allows(granted, needed) is allowed


def test_these_scopes_are_known():
    assert {
        *("*", "receipts:*", "receipts:read", "receipts:write"),
        *("orchestrations:*", "orchestrations:read", "orchestrations:write"),
        *("metrics:*", "metrics:read", "keys:*", "keys:read", "keys:write"),
        *("audit:*", "audit:read"),
    } == KNOWN


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("scope", ["receipts:write", "orchestrations:*", "audit:read"])
def test_reading_needs_receipts_read(acme, path, scope):
    assert_lacking(new_caller(acme, (scope,)).get(path), "receipts:read")


@pytest.mark.parametrize("path", READS)
def test_asking_for_headers_needs_what_reading_needs(alice, acme, path):
    alice.record(run_id="run-1")
    answer = new_caller(acme, ("receipts:write",)).request("HEAD", path)
    assert answer.status_code == 403


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("scope", ["receipts:read", "receipts:*", "*"])
def test_reading_is_allowed_by(acme, path, scope):
    assert new_caller(acme, (scope,)).get(path).status_code in {200, 404}


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("scope", ["receipts:read", "orchestrations:write", "keys:*"])
def test_writing_needs_receipts_write(alice, acme, path, scope):
    caller = new_caller(acme, (scope,))
    assert_lacking(caller.post(path, BODY), "receipts:write")
    assert log_size(alice) == 0


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("scope", ["receipts:write", "receipts:*", "*"])
def test_writing_is_allowed_by(acme, path, scope):
    assert new_caller(acme, (scope,)).post(path, BODY).status_code == 200


def test_checking_by_post_needs_only_to_read(alice, bob):
    alice.record(run_id="run-1")
    assert bob.post("/v1/receipts/run-1/verify").status_code == 200


def test_a_scope_is_told_before_the_body_is_read(bob):
    assert_lacking(bob.post("/v1/receipts", b"{"), "receipts:write")


def test_a_scope_is_told_before_a_receipt_is_looked_for(acme):
    caller = new_caller(acme, ("receipts:write",))
    assert_lacking(caller.get("/v1/receipts/nothing"), "receipts:read")
