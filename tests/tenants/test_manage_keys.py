"""Keys that make, rotate and revoke keys over the API."""

import threading
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django.utils import timezone

from lucid.api.models import IdempotentAnswer
from tenants.models import AccessEvent, ApiKey
from tests.caller import RUN, Caller
from tests.conftest import new_caller, new_tenant

KEYS = "/v1/api-keys"
ASKED = {"name": "ci", "scopes": ["receipts:write"]}


@pytest.fixture
def issuer(acme):
    """A key that expires, and may do and hand on a few things."""
    key, text = ApiKey.objects.issue(
        acme,
        "issuer",
        ["keys:*", "receipts:write"],
        expires_in=timedelta(days=10),
        allowed_addresses=["127.0.0.0/8"],
        requests_per_minute=100,
    )
    return Caller(acme, key, text)


def make(caller, **asked):
    answer = caller.post(KEYS, ASKED | asked)
    assert answer.status_code == 201, answer.content
    return answer.json()


def refused(answer, status, code, *fields):
    told = answer.json()
    assert (answer.status_code, told["error_code"]) == (status, code)
    assert set(told["details"] or {}) == set(fields)


def holder(caller, made):
    key = ApiKey.objects.get(pk=made["api_key"]["id"])
    return Caller(caller.tenant, key, made["key"])


def events(caller, action):
    rows = AccessEvent.objects.filter(tenant=caller.tenant, action=f"api_key.{action}")
    return list(rows)


class TestMaking:
    def test_the_key_works_for_what_it_may(self, alice):
        made = holder(alice, make(alice))
        assert made.record()
        assert made.get("/v1/receipts").json()["error_code"] == "INSUFFICIENT_SCOPE"

    def test_it_is_of_the_callers_tenant_and_mode(self, acme):
        test = new_caller(acme, mode="test")
        made = make(test)
        key = ApiKey.objects.get(pk=made["api_key"]["id"])
        assert (key.tenant, key.mode) == (acme, "test")
        assert made["key"].startswith("lk_test_")

    def test_its_terms_are_those_asked_for(self, alice):
        before = timezone.now()
        asked = {"expires_in_seconds": 3600, "requests_per_minute": 5}
        made = make(alice, **asked, allowed_addresses=["::ffff:192.0.2.0/120"])
        told = made["api_key"]
        assert told["allowed_addresses"] == ["192.0.2.0/24"]
        assert told["requests_per_minute"] == 5
        expires_at = datetime.fromisoformat(told["expires_at"])
        hour = timedelta(hours=1)
        assert before + hour <= expires_at <= timezone.now() + hour

    def test_the_secret_is_told_once(self, alice):
        answer = alice.post(KEYS, ASKED)
        assert answer["Cache-Control"] == "no-store"
        secret = answer.json()["key"][18:]
        pk = answer.json()["api_key"]["id"]
        for path in (KEYS, f"{KEYS}/{pk}"):
            assert secret not in alice.get(path).content.decode()

    def test_it_is_an_access_event_of_the_key_that_asked(self, alice):
        made = make(alice)
        (event,) = events(alice, "created")
        assert (event.actor_kind, event.actor_id) == ("api_key", str(alice.key.pk))
        assert (event.actor_name, event.address) == (alice.key.prefix, "127.0.0.1")
        assert event.object_id == made["api_key"]["prefix"]
        assert made["key"][18:] not in str(event.after)

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"name": ""}, "name"),
            ({"name": "a" * 201}, "name"),
            ({"name": "a\0b"}, "name"),
            ({"name": None}, "name"),
            ({"scopes": []}, "scopes"),
            ({"scopes": "receipts:write"}, "scopes"),
            ({"scopes": ["receipts:delete"]}, "scopes"),
            ({"scopes": [1]}, "scopes[0]"),
            ({"mode": "prod"}, "mode"),
            ({"expires_in_seconds": 0}, "expires_in_seconds"),
            ({"expires_in_seconds": 1e300}, "expires_in_seconds"),
            ({"expires_in_seconds": 10**12}, "expires_in_seconds"),
            ({"allowed_addresses": ["acme"]}, "allowed_addresses[0]"),
            (
                {"allowed_addresses": ["10.0.0.0/8", "10.0.0.1/8"]},
                "allowed_addresses[1]",
            ),
            ({"allowed_addresses": "10.0.0.0/8"}, "allowed_addresses"),
            ({"requests_per_minute": 0}, "requests_per_minute"),
            ({"requests_per_minute": 2**31}, "requests_per_minute"),
        ],
    )
    def test_what_makes_no_sense_is_400(self, alice, asked, field):
        refused(alice.post(KEYS, ASKED | asked), 400, "INVALID_REQUEST", field)
        assert ApiKey.objects.filter(tenant=alice.tenant).count() == 1

    def test_without_the_scope_it_is_403(self, acme):
        reader = new_caller(acme, ("keys:read",))
        refused(reader.post(KEYS, ASKED), 403, "INSUFFICIENT_SCOPE", "scope")


class TestHandingOn:
    """No more than one has."""

    @pytest.mark.parametrize(
        ("own", "asked"),
        [
            (["*"], ["*"]),
            (["*"], ["receipts:*", "audit:read"]),
            (["keys:*", "receipts:*"], ["receipts:*", "keys:write"]),
            (["keys:write", "receipts:read"], ["receipts:read"]),
        ],
    )
    def test_scopes_that_one_has(self, acme, own, asked):
        assert make(new_caller(acme, own), scopes=asked)["api_key"]["scopes"] == sorted(
            asked
        )

    @pytest.mark.parametrize(
        ("own", "asked", "lacking"),
        [
            (["keys:*"], ["*"], ["*"]),
            (["keys:write", "receipts:read"], ["receipts:*"], ["receipts:*"]),
            (
                ["keys:write", "receipts:read", "receipts:write"],
                ["receipts:*"],
                ["receipts:*"],
            ),
            (["keys:write"], ["keys:read", "keys:write"], ["keys:read"]),
            (["keys:*"], ["audit:read", "metrics:read"], ["audit:read"]),
        ],
    )
    def test_scopes_that_one_lacks_are_403_and_named(self, acme, own, asked, lacking):
        answer = new_caller(acme, own).post(KEYS, ASKED | {"scopes": asked})
        refused(answer, 403, "INSUFFICIENT_SCOPE", "scopes")
        assert set(lacking) <= set(answer.json()["details"]["scopes"])
        assert ApiKey.objects.filter(tenant=acme).count() == 1

    def test_another_mode_is_403(self, alice):
        answer = alice.post(KEYS, ASKED | {"mode": "test"})
        refused(answer, 403, "INSUFFICIENT_SCOPE", "mode")

    def test_what_is_left_out_is_as_of_the_key_that_asks(self, issuer):
        told = make(issuer)["api_key"]
        expires_at = datetime.fromisoformat(told["expires_at"])
        assert expires_at == issuer.key.expires_at
        assert told["allowed_addresses"] == ["127.0.0.0/8"]
        assert told["requests_per_minute"] == 100

    def test_less_may_be_asked_for(self, issuer):
        told = make(
            issuer,
            expires_in_seconds=60,
            allowed_addresses=["127.0.0.1"],
            requests_per_minute=1,
        )["api_key"]
        assert told["allowed_addresses"] == ["127.0.0.1/32"]

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"expires_in_seconds": 11 * 86_400}, "expires_at"),
            ({"allowed_addresses": ["126.0.0.0/7"]}, "allowed_addresses"),
            ({"allowed_addresses": ["127.0.0.1", "::1"]}, "allowed_addresses"),
            ({"requests_per_minute": 101}, "requests_per_minute"),
        ],
    )
    def test_more_is_403(self, issuer, asked, field):
        answer = issuer.post(KEYS, ASKED | asked)
        refused(answer, 403, "INSUFFICIENT_SCOPE", field)

    def test_rotating_takes_over_no_rights_that_one_lacks(self, acme, issuer):
        stronger = new_caller(acme)
        answer = issuer.post(f"{KEYS}/{stronger.key.pk}/rotate", b"")
        fields = ("scopes", "expires_at", "allowed_addresses", "requests_per_minute")
        refused(answer, 403, "INSUFFICIENT_SCOPE", *fields)
        stronger.key.refresh_from_db()
        assert stronger.key.rotated_to is None


class TestRotating:
    def test_ones_own_key(self, issuer):
        answer = issuer.post(f"{KEYS}/{issuer.key.pk}/rotate", {"overlap_seconds": 0})
        assert answer.status_code == 201
        assert answer["Cache-Control"] == "no-store"
        told = answer.json()
        assert told["rotated"]["state"] == "rotated"
        assert told["rotated"]["rotated_to"] == told["api_key"]["id"]
        assert issuer.get(KEYS).json()["error_code"] == "KEY_ROTATED"
        assert holder(issuer, told).record()

    def test_with_an_overlap_of_a_day_unless_told(self, alice):
        before = timezone.now()
        told = alice.post(f"{KEYS}/{alice.key.pk}/rotate", b"").json()
        ends_at = datetime.fromisoformat(told["rotated"]["overlap_ends_at"])
        day = timedelta(days=1)
        assert before + day <= ends_at <= timezone.now() + day
        assert alice.record()

    def test_twice_is_409(self, alice):
        path = f"{KEYS}/{alice.key.pk}/rotate"
        alice.post(path, b"")
        refused(alice.post(path, b""), 409, "CONFLICT")
        assert ApiKey.objects.filter(tenant=alice.tenant).count() == 2

    @pytest.mark.parametrize("overlap", [-1, 1.5, "1h", 10**9, True])
    def test_a_bad_overlap_is_400(self, alice, overlap):
        answer = alice.post(
            f"{KEYS}/{alice.key.pk}/rotate", {"overlap_seconds": overlap}
        )
        refused(answer, 400, "INVALID_REQUEST", "overlap_seconds")

    def test_it_is_an_access_event(self, alice):
        alice.post(f"{KEYS}/{alice.key.pk}/rotate", b"")
        (event,) = events(alice, "rotated")
        assert event.actor_id == str(alice.key.pk)
        assert event.object_id == alice.key.prefix


class TestRevoking:
    def test_it_is_at_once_and_harmless_to_repeat(self, alice, acme):
        other = new_caller(acme)
        other.record()
        for _ in range(2):
            answer = alice.post(f"{KEYS}/{other.key.pk}/revoke", {"reason": "Lost."})
            assert answer.json()["api_key"]["state"] == "revoked"
        assert other.post("/v1/receipts", RUN).json()["error_code"] == "KEY_REVOKED"
        (event,) = events(alice, "revoked")
        assert (event.reason, event.object_id) == ("Lost.", other.key.prefix)

    def test_ones_own_key(self, alice):
        assert alice.post(f"{KEYS}/{alice.key.pk}/revoke", b"").status_code == 200
        assert alice.get(KEYS).json()["error_code"] == "KEY_REVOKED"

    @pytest.mark.parametrize("reason", [1, None, "a" * 1001, "a\0"])
    def test_a_bad_reason_is_400(self, alice, reason):
        answer = alice.post(f"{KEYS}/{alice.key.pk}/revoke", {"reason": reason})
        refused(answer, 400, "INVALID_REQUEST", "reason")


class TestWhichKeys:
    @pytest.mark.parametrize("act", ["", "/rotate", "/revoke"])
    @pytest.mark.parametrize("whose", ["charlie's", "of the other mode", "nobody's"])
    def test_others_are_404(self, alice, acme, charlie, act, whose):
        pk = {
            "charlie's": charlie.key.pk,
            "of the other mode": new_caller(acme, mode="test").key.pk,
            "nobody's": uuid4(),
        }[whose]
        method = "POST" if act else "GET"
        refused(alice.request(method, f"{KEYS}/{pk}{act}"), 404, "NOT_FOUND")

    @pytest.mark.parametrize("name", ["x", "lk_live_0123456789", "é", "-", "0" * 31])
    def test_what_is_no_id_is_404(self, alice, name):
        refused(alice.get(f"{KEYS}/{name}"), 404, "NOT_FOUND")

    @pytest.mark.parametrize("act", ["", "/rotate", "/revoke"])
    def test_without_the_scope_it_is_403(self, bob, act):
        method = "POST" if act else "GET"
        answer = bob.request(method, f"{KEYS}/{bob.key.pk}{act}")
        refused(answer, 403, "INSUFFICIENT_SCOPE", "scope")


class TestListing:
    @pytest.fixture
    def many(self, database):
        first = new_caller(new_tenant("many"))
        rest = [new_caller(first.tenant).key for _ in range(6)]
        # Three of one moment, on the edge of pages.
        moment = rest[2].created_at
        same = [key.pk for key in rest[1:4]]
        ApiKey.objects.filter(pk__in=same).update(created_at=moment)
        return first

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
    def test_pages_hold_each_key_once_newest_first(self, many, limit):
        seen, cursor = [], ""
        while cursor is not None:
            page = many.get(f"{KEYS}?limit={limit}{cursor and '&cursor=' + cursor}")
            told = page.json()
            assert len(told["api_keys"]) <= limit
            seen += [key["id"] for key in told["api_keys"]]
            cursor = told["next_cursor"]
        rows = ApiKey.objects.filter(tenant=many.tenant)
        newest_first = rows.order_by("-created_at", "-pk").values_list("pk", flat=True)
        assert seen == [str(pk) for pk in newest_first]

    def test_of_ones_own_mode_and_tenant_alone(self, alice, acme, charlie):
        new_caller(acme, mode="test")
        (key,) = alice.get(KEYS).json()["api_keys"]
        assert key["id"] == str(alice.key.pk)

    @pytest.mark.parametrize("cursor", ["x", "", "é", "A" * 32, "_" * 32, "A" * 10_000])
    def test_a_cursor_of_no_list_of_ours_is_400(self, alice, cursor):
        answer = alice.get(f"{KEYS}?cursor={cursor}")
        if cursor != "A" * 32:  # the first moment of all, of which nothing is older
            refused(answer, 400, "INVALID_REQUEST", "cursor")
        else:
            assert answer.json()["api_keys"] == []

    def test_it_takes_two_queries(self, many, django_assert_num_queries):
        many.get(KEYS)
        with django_assert_num_queries(2):
            many.get(KEYS)


class TestRepeating:
    def test_a_repeat_tells_of_the_key_without_its_secret(self, alice):
        first, again = (alice.post(KEYS, ASKED, Idempotency_Key="k") for _ in range(2))
        assert again["Idempotent-Replayed"] == "true"
        assert again["Cache-Control"] == "no-store"
        assert (again.status_code, again.json()["key"]) == (201, None)
        assert again.json()["api_key"] == first.json()["api_key"]
        assert "is not kept" in again.json()["message"]
        assert ApiKey.objects.filter(tenant=alice.tenant).count() == 2
        assert len(events(alice, "created")) == 1

    def test_what_is_stored_has_no_secret(self, alice):
        text = alice.post(KEYS, ASKED, Idempotency_Key="k").json()["key"]
        row = IdempotentAnswer.objects.get(tenant_id=alice.tenant.pk)
        assert text[:18].encode() in bytes(row.body)
        assert text[18:].encode() not in bytes(row.body)

    def test_another_body_is_409(self, alice):
        alice.post(KEYS, ASKED, Idempotency_Key="k")
        answer = alice.post(KEYS, ASKED | {"name": "other"}, Idempotency_Key="k")
        refused(answer, 409, "IDEMPOTENCY_CONFLICT", "Idempotency-Key")

    def test_a_rotation_is_done_once(self, alice):
        path = f"{KEYS}/{alice.key.pk}/rotate"
        first, again = (alice.post(path, b"", Idempotency_Key="k") for _ in range(2))
        assert again.json()["api_key"] == first.json()["api_key"]
        assert again.json()["key"] is None

    def test_a_refusal_is_not_stored(self, alice):
        path = f"{KEYS}/{alice.key.pk}/rotate"
        alice.post(path, b"")
        for _ in range(2):
            refused(alice.post(path, b"", Idempotency_Key="k"), 409, "CONFLICT")
        assert not IdempotentAnswer.objects.filter(tenant_id=alice.tenant.pk).exists()

    @pytest.mark.parametrize("act", ["make", "rotate"])
    def test_of_several_at_once_one_is_the_first(self, alice, act):
        path = KEYS if act == "make" else f"{KEYS}/{alice.key.pk}/rotate"
        body = ASKED if act == "make" else {}
        answers = []

        def post():
            try:
                answers.append(alice.post(path, body, Idempotency_Key="k"))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {201}
        assert len([it for it in answers if it.json()["key"]]) == 1
        assert len({it.json()["api_key"]["id"] for it in answers}) == 1
        assert ApiKey.objects.filter(tenant=alice.tenant).count() == 2
