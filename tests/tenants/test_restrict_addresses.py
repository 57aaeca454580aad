"""A key with allowed addresses is refused from elsewhere, remembered or not."""

import pytest

from tenants.allowed_addresses import lie_within, may_come_from, network, networks
from tenants.models import ApiKey
from tests.caller import RUN, Caller

ALLOWED = ["192.0.2.0/24", "2001:db8::/32"]


@pytest.fixture
def restricted(acme, settings):
    settings.LUCID_TRUSTED_PROXIES = ["127.0.0.1"]
    key, text = ApiKey.objects.issue(acme, "ci", ["*"], allowed_addresses=ALLOWED)
    return Caller(acme, key, text)


def call(caller, method, address):
    return (
        caller.get("/v1/receipts", X_Forwarded_For=address)
        if method == "GET"
        else caller.post("/v1/receipts", RUN, X_Forwarded_For=address)
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
class TestARestrictedKey:
    @pytest.mark.parametrize(
        "address", ["192.0.2.1", "192.0.2.255", "::ffff:192.0.2.1", "2001:db8:1::7"]
    )
    def test_works_from_there(self, restricted, method, address):
        assert call(restricted, method, address).status_code == 200

    @pytest.mark.parametrize(
        "address",
        ["192.0.3.1", "::ffff:192.0.3.1", "2001:db9::1", "::192.0.2.1", "127.0.0.2"],
    )
    def test_is_403_from_elsewhere(self, restricted, method, address):
        answer = call(restricted, method, address)
        assert answer.status_code == 403
        assert answer.json()["error_code"] == "ADDRESS_NOT_ALLOWED"
        assert address in answer.json()["message"]

    def test_is_403_from_elsewhere_when_this_worker_remembers_it(
        self, restricted, method
    ):
        assert call(restricted, "POST", "192.0.2.1").status_code == 200
        assert call(restricted, method, "192.0.3.1").status_code == 403
        assert call(restricted, method, "192.0.2.1").status_code == 200

    def test_is_not_used_by_a_refused_request(self, restricted, method):
        call(restricted, method, "192.0.3.1")
        restricted.key.refresh_from_db()
        assert restricted.key.last_used_at is None

    def test_is_told_that_it_ended_before_where_it_is(self, restricted, method):
        restricted.key.revoke()
        answer = call(restricted, method, "192.0.3.1")
        assert answer.json()["error_code"] == "KEY_REVOKED"


def test_a_body_that_is_wrong_is_not_told_to_somebody_elsewhere(restricted):
    call(restricted, "POST", "192.0.2.1")
    answer = restricted.post("/v1/receipts", {}, X_Forwarded_For="192.0.3.1")
    assert answer.json()["error_code"] == "ADDRESS_NOT_ALLOWED"


def test_a_key_without_works_from_anywhere(alice, settings):
    settings.LUCID_TRUSTED_PROXIES = ["127.0.0.1"]
    for address in ("192.0.2.1", "2001:db8::1", "nonsense"):
        assert call(alice, "POST", address).status_code == 200


@pytest.mark.parametrize(
    ("address", "kept"), [("192.0.2.9", "192.0.2.9"), ("::ffff:192.0.2.9", "192.0.2.9")]
)
def test_the_address_of_last_use_is_kept(restricted, address, kept):
    call(restricted, "GET", address)
    restricted.key.refresh_from_db()
    assert restricted.key.last_used_from == kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
    ],
)
def test_a_network_has_one_spelling(text, expected):
    assert str(network(text)) == expected


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1/24", "192.0.2.0/33", "acme", "fe80::1%eth0", "1.2.3", "/8"]
)
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        network(text)


def test_nobody_comes_from_an_unknown_address():
    assert not may_come_from(networks(["0.0.0.0/0", "::/0"]), None)


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        (["192.0.2.0/25"], ["192.0.2.0/24"], True),
        (["192.0.2.0/24"], ["192.0.2.0/25"], False),
        (["192.0.2.0/24", "2001:db8::1"], ["192.0.2.0/24", "2001:db8::/32"], True),
        (["192.0.2.0/24", "2001:db9::1"], ["192.0.2.0/24", "2001:db8::/32"], False),
        (["2001:db8::1"], ["0.0.0.0/0"], False),
    ],
)
def test_networks_lie_within_others(inner, outer, expected):
    assert lie_within(networks(inner), networks(outer)) is expected
