import base64
import hmac
import json
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone

from lucid.api.errors import ApiError
from receipts.quiet_logs import QUIET_AFTER
from tenants import authentication
from tenants.models import ApiKey, Mode, Tenant
from tenants.querysets import LAST_USE_RESOLUTION
from tests.caller import RUN, Caller
from tests.conftest import new_caller
from tests.receipts.auditor import log_size

JWT = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({"alg": "none"}, {"tenant": "acme"}, "signature")
)
# A GET looks the key up each time; a POST may know it from memory.
METHODS = ["GET", "POST"]


def call(caller, method="GET", body=None, **headers):
    """List or report receipts with nothing but the given headers."""
    data = json.dumps(RUN if body is None else body).encode()
    headers = {"Authorization": "", **headers}
    return caller.request(method, "/v1/receipts", data, **headers)


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


def change(caller, **columns):
    assert ApiKey.objects.filter(pk=caller.key.pk).update(**columns) == 1


@pytest.mark.parametrize("method", METHODS)
class TestWhereTheKeyIs:
    @pytest.mark.parametrize(
        "scheme", ["Bearer ", "bearer ", "BEARER ", "ApiKey ", "apikey ", "Bearer   "]
    )
    def test_in_authorization(self, alice, method, scheme):
        answer = call(alice, method, Authorization=scheme + alice.text)
        assert answer.status_code == 200

    def test_in_x_api_key(self, alice, method):
        assert call(alice, method, X_API_Key=alice.text).status_code == 200

    def test_in_both_when_it_is_one(self, alice, method):
        answer = call(
            alice,
            method,
            Authorization=f"Bearer {alice.text}",
            X_API_Key=alice.text,
        )
        assert answer.status_code == 200

    @pytest.mark.parametrize("other", ["charlie's", JWT, "nonsense"])
    def test_two_that_differ_are_400(self, alice, charlie, method, other):
        other = charlie.text if other == "charlie's" else other
        bearer = f"Bearer {other}"
        answer = call(alice, method, Authorization=bearer, X_API_Key=alice.text)
        refused(answer, 400, "INVALID_REQUEST")
        assert log_size(alice) == log_size(charlie) == 0

    @pytest.mark.parametrize(
        "authorization", ["", "Bearer", "Bearer ", "ApiKey", " ", "bearer   "]
    )
    def test_nowhere_is_401(self, alice, method, authorization):
        answer = call(alice, method, Authorization=authorization)
        refused(answer, 401, "UNAUTHORIZED")

    @pytest.mark.parametrize("scheme", ["Basic ", "Token ", "Digest ", "", "Bearer:"])
    def test_under_another_scheme_is_401(self, alice, method, scheme):
        answer = call(alice, method, Authorization=scheme + alice.text)
        refused(answer, 401, "UNAUTHORIZED")

    def test_not_in_the_query(self, alice, method):
        path = f"/v1/receipts?api_key={alice.text}"
        answer = alice.request(method, path, b"{}", Authorization="")
        refused(answer, 401, "UNAUTHORIZED")

    def test_a_401_asks_for_a_bearer_token(self, alice, method):
        answer = call(alice, method)
        assert answer["WWW-Authenticate"] == 'Bearer realm="lucid"'


@pytest.mark.parametrize("method", METHODS)
class TestWhichKeyIsRefused:
    def test_an_unknown_one(self, alice, method):
        text = "lk_live_" + "A" * 42
        answer = call(alice, method, X_API_Key=text)
        refused(answer, 401, "UNAUTHORIZED")

    @pytest.mark.parametrize("place", [0, 8, 17, 18, -1])
    def test_one_with_a_character_changed(self, alice, method, place):
        change_to = "0" if alice.text[place] != "0" else "1"
        characters = list(alice.text)
        characters[place] = change_to
        answer = call(alice, method, X_API_Key="".join(characters))
        assert answer.status_code == 401

    @pytest.mark.parametrize(
        "text",
        [
            "lk_",
            "lk_live_",
            "lk_live_short",
            "lk_prod_" + "A" * 42,
            "lk_live_" + "A" * 41,
            "lk_live_" + "A" * 43,
            "lk_live_" + "ä" * 42,
            "lk_live_" + "A" * 41 + "-",
            "LK_LIVE_" + "A" * 42,
            "lk_live_" + "A" * 100_000,
        ],
    )
    def test_a_malformed_one(self, alice, method, text):
        answer = call(alice, method, X_API_Key=text)
        assert answer.status_code == 401
        assert answer.json()["error_code"] in {"UNAUTHORIZED", "TOKEN_INVALID"}

    def test_the_public_part_alone(self, alice, method):
        answer = call(alice, method, X_API_Key=alice.key.prefix)
        refused(answer, 401, "UNAUTHORIZED")

    def test_one_whose_pepper_is_gone(self, alice, method):
        change(alice, pepper_id="p0")
        answer = call(alice, method, X_API_Key=alice.text)
        refused(answer, 401, "UNAUTHORIZED")

    @pytest.mark.parametrize("text", [JWT, "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
    def test_what_looks_like_a_jwt(self, alice, method, text):
        answer = call(alice, method, Authorization=f"Bearer {text}")
        refused(answer, 401, "TOKEN_INVALID")

    def test_a_revoked_one(self, alice, method):
        alice.key.revoke()
        answer = call(alice, method, X_API_Key=alice.text)
        refused(answer, 401, "KEY_REVOKED")

    def test_an_expired_one(self, alice, method):
        change(alice, expires_at=timezone.now())
        answer = call(alice, method, X_API_Key=alice.text)
        refused(answer, 401, "KEY_EXPIRED")

    def test_not_one_that_will_expire(self, alice, method):
        change(alice, expires_at=timezone.now() + timedelta(hours=1))
        assert call(alice, method, X_API_Key=alice.text).status_code == 200

    def test_one_of_a_suspended_tenant(self, alice, acme, method):
        acme.set_status(Tenant.Status.SUSPENDED)
        answer = call(alice, method, X_API_Key=alice.text)
        refused(answer, 403, "TENANT_SUSPENDED")

    def test_not_one_of_a_resumed_tenant(self, alice, acme, method):
        acme.set_status(Tenant.Status.SUSPENDED)
        acme.set_status(Tenant.Status.ACTIVE)
        assert call(alice, method, X_API_Key=alice.text).status_code == 200

    def test_the_error_does_not_repeat_the_key(self, alice, method):
        alice.key.revoke()
        answer = call(alice, method, X_API_Key=alice.text)
        assert alice.text[18:] not in answer.content.decode()


class TestAKeyThatThisWorkerRemembers:
    """Reporting asks no database who is calling; the ledger's transaction does."""

    @pytest.fixture(params=[1, QUIET_AFTER + 2], ids=["fresh log", "quiet log"])
    def remembered(self, request, alice):
        # A log that one worker alone has written to for a while is written another
        # way, which has to ask all the same.
        for _ in range(request.param):
            assert alice.post("/v1/receipts", RUN).status_code == 200
        return alice

    @pytest.fixture
    def written(self, remembered, bob):
        """Say how many receipts there are more; Bob's key is not Alice's."""
        before = log_size(bob)
        return lambda: log_size(bob) - before

    PATHS = [("/v1/receipts", RUN), ("/v1/receipts/batch", {"receipts": [RUN]})]

    @pytest.mark.parametrize(("path", "body"), PATHS)
    def test_once_revoked_writes_nothing(self, remembered, written, path, body):
        remembered.key.revoke()
        refused(remembered.post(path, body), 401, "KEY_REVOKED")
        assert written() == 0

    @pytest.mark.parametrize(("path", "body"), PATHS)
    def test_once_revoked_stays_refused(self, remembered, written, path, body):
        remembered.key.revoke()
        for _ in range(3):
            refused(remembered.post(path, body), 401, "KEY_REVOKED")
        assert written() == 0

    @pytest.mark.parametrize("path", [path for path, _ in PATHS])
    @pytest.mark.parametrize(
        "body",
        [
            {},
            [],
            {"receipts": []},
            RUN | {"runtime": ""},
            {"receipts": [{}]},
            b"{",
            b"",
        ],
    )
    def test_once_revoked_is_401_and_never_400(self, remembered, path, body):
        remembered.key.revoke()
        refused(remembered.post(path, body), 401, "KEY_REVOKED")

    def test_once_revoked_is_401_and_never_415(self, remembered):
        remembered.key.revoke()
        answer = remembered.post("/v1/receipts", RUN, content_type="text/plain")
        refused(answer, 401, "KEY_REVOKED")

    def test_once_revoked_is_401_and_never_413(self, remembered):
        remembered.key.revoke()
        answer = remembered.post("/v1/receipts", b" " * (2 << 20))
        refused(answer, 401, "KEY_REVOKED")

    def test_once_revoked_is_401_and_never_403(self, bob):
        bob.post("/v1/receipts", RUN)
        bob.key.revoke()
        refused(bob.post("/v1/receipts", RUN), 401, "KEY_REVOKED")

    def test_once_revoked_is_401_and_never_409(self, remembered):
        remembered.record(run_id="run-1")
        remembered.key.revoke()
        body = RUN | {"run_id": "run-1", "tokens_in": 1}
        refused(remembered.post("/v1/receipts", body), 401, "KEY_REVOKED")

    def test_once_revoked_gets_no_stored_receipt(self, remembered):
        remembered.record(run_id="run-1")
        remembered.key.revoke()
        answer = remembered.post("/v1/receipts", RUN | {"run_id": "run-1"})
        refused(answer, 401, "KEY_REVOKED")

    def test_once_revoked_gets_no_stored_answer(self, remembered):
        remembered.post("/v1/receipts", RUN, Idempotency_Key="k")
        remembered.key.revoke()
        answer = remembered.post("/v1/receipts", RUN, Idempotency_Key="k")
        refused(answer, 401, "KEY_REVOKED")

    @pytest.mark.parametrize(("path", "body"), PATHS)
    def test_of_a_tenant_then_suspended_writes_nothing(
        self, remembered, acme, written, path, body
    ):
        acme.set_status(Tenant.Status.SUSPENDED)
        refused(remembered.post(path, body), 403, "TENANT_SUSPENDED")
        acme.set_status(Tenant.Status.ACTIVE)
        assert written() == 0

    def test_of_a_tenant_then_suspended_is_403_and_never_400(self, remembered, acme):
        acme.set_status(Tenant.Status.SUSPENDED)
        refused(remembered.post("/v1/receipts", {}), 403, "TENANT_SUSPENDED")

    def test_of_a_tenant_resumed_writes_again(self, remembered, acme):
        acme.set_status(Tenant.Status.SUSPENDED)
        remembered.post("/v1/receipts", RUN)
        acme.set_status(Tenant.Status.ACTIVE)
        assert remembered.post("/v1/receipts", RUN).status_code == 200

    def test_that_has_expired_since_writes_nothing(
        self, remembered, written, acme, monkeypatch
    ):
        key, text = ApiKey.objects.issue(
            acme, "ci", ["*"], expires_in=timedelta(days=1)
        )
        brief = Caller(acme, key, text)
        brief.record()
        monkeypatch.setattr(timezone, "now", lambda: key.expires_at)
        refused(brief.post("/v1/receipts", RUN), 401, "KEY_EXPIRED")
        monkeypatch.undo()
        assert written() == 1

    def test_is_looked_up_after_a_minute(self, remembered, monkeypatch):
        before = timezone.now()
        change(remembered, last_used_at=before - timedelta(minutes=2))
        later = time.monotonic() + LAST_USE_RESOLUTION.total_seconds() + 1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        remembered.record()
        remembered.key.refresh_from_db()
        assert remembered.key.last_used_at >= before

    def test_revoking_one_leaves_the_others(self, remembered, acme):
        other = new_caller(acme)
        other.record()
        remembered.key.revoke()
        assert other.post("/v1/receipts", RUN).status_code == 200


@pytest.mark.parametrize("method", METHODS)
class TestTenantHeader:
    def call(self, caller, method, tenant):
        bearer = f"Bearer {caller.text}"
        return call(caller, method, Authorization=bearer, X_Tenant_ID=tenant)

    @pytest.mark.parametrize("spelling", [str, str.upper, lambda text: f" {text} "])
    @pytest.mark.parametrize("name", ["pk", "slug"])
    def test_it_may_name_the_tenant_by_uuid_or_slug(
        self, alice, method, name, spelling
    ):
        tenant = spelling(str(getattr(alice.tenant, name)))
        assert self.call(alice, method, tenant).status_code == 200

    @pytest.mark.parametrize("name", ["pk", "slug"])
    def test_another_tenant_is_403(self, alice, charlie, method, name):
        tenant = str(getattr(charlie.tenant, name))
        refused(self.call(alice, method, tenant), 403, "TENANT_MISMATCH")

    @pytest.mark.parametrize("tenant", ["nobody", "acme", "*", "é"])
    def test_a_tenant_that_is_not_there_is_403(self, alice, method, tenant):
        refused(self.call(alice, method, tenant), 403, "TENANT_MISMATCH")

    def test_it_may_be_absent(self, alice, method):
        assert self.call(alice, method, "").status_code == 200

    def test_where_it_is_required_its_absence_is_400(self, alice, method, settings):
        settings.LUCID_REQUIRE_TENANT_HEADER = True
        refused(self.call(alice, method, ""), 400, "TENANT_REQUIRED")
        refused(self.call(alice, method, "  "), 400, "TENANT_REQUIRED")

    def test_where_it_is_required_it_is_taken(self, alice, method, settings):
        settings.LUCID_REQUIRE_TENANT_HEADER = True
        assert self.call(alice, method, alice.tenant.slug).status_code == 200

    def test_a_bad_key_is_told_before_a_bad_tenant(self, alice, charlie, method):
        alice.key.revoke()
        answer = self.call(alice, method, charlie.tenant.slug)
        refused(answer, 401, "KEY_REVOKED")


class TestModes:
    @pytest.fixture
    def alice_test(self, acme):
        return new_caller(acme, mode=Mode.TEST)

    @pytest.mark.parametrize("run_id", ["run-1", "run-2"])
    def test_test_and_live_data_are_apart(self, alice, alice_test, run_id):
        live = alice.record(run_id="run-1")
        test = alice_test.record(run_id=run_id)
        assert alice.get("/v1/receipts").json()["receipts"] == [live]
        assert alice_test.get("/v1/receipts").json()["receipts"] == [test]

    def test_each_has_a_log_and_signing_key(self, alice, alice_test):
        live, test = alice.record(), alice_test.record()
        assert live["_mmr_leaf_index"] == test["_mmr_leaf_index"] == 0
        assert live["signer_kid"] != test["signer_kid"]

    def test_the_mode_is_that_of_the_row_and_not_of_the_text(self, alice):
        text = alice.text.replace("lk_live_", "lk_test_")
        refused(call(alice, X_API_Key=text), 401, "UNAUTHORIZED")


class TestLastUse:
    def used(self, caller):
        caller.key.refresh_from_db()
        return caller.key.last_used_at

    @pytest.mark.parametrize("method", METHODS)
    def test_the_first_is_noted(self, alice, method):
        before = timezone.now()
        assert self.used(alice) is None
        call(alice, method, X_API_Key=alice.text)
        assert before <= self.used(alice) <= timezone.now()

    def test_within_a_minute_it_is_not_written_again(self, alice):
        recent = timezone.now() - LAST_USE_RESOLUTION / 2
        change(alice, last_used_at=recent)
        call(alice, X_API_Key=alice.text)
        assert self.used(alice) == recent

    def test_after_a_minute_it_is_written_again(self, alice):
        before = timezone.now()
        change(alice, last_used_at=before - LAST_USE_RESOLUTION - timedelta(seconds=1))
        call(alice, X_API_Key=alice.text)
        assert self.used(alice) >= before

    def test_within_a_minute_a_request_writes_nothing(
        self, alice, django_assert_num_queries
    ):
        call(alice, X_API_Key=alice.text)
        with django_assert_num_queries(2) as queries:
            call(alice, X_API_Key=alice.text)
        assert not [q for q in queries.captured_queries if "UPDATE" in q["sql"]]

    def test_of_two_requests_at_once_one_notes_it(self, alice):
        # Both have found it stale; the second finds it noted.
        ApiKey.objects.touch(alice.key.pk)
        first = self.used(alice)
        ApiKey.objects.touch(alice.key.pk)
        assert self.used(alice) == first

    def test_a_refused_key_is_not_used(self, alice):
        alice.key.revoke()
        call(alice, X_API_Key=alice.text)
        assert self.used(alice) is None

    def test_noting_it_brings_no_revoked_key_back(self, alice):
        ApiKey.objects.get(pk=alice.key.pk).revoke()
        ApiKey.objects.touch(alice.key.pk)
        alice.key.refresh_from_db()
        assert alice.key.state() == "revoked"


class TestALookupDoesTheSame:
    """For known and unknown keys: a test that counts, as a timing proves nothing."""

    @pytest.fixture
    def work(self, monkeypatch, django_assert_num_queries):
        """Look a text up; return how many MACs were made and how many compared."""
        counts: Counter[str] = Counter()

        def counted(module, name):
            real = getattr(module, name)

            def call(*arguments):
                counts[name] += 1
                return real(*arguments)

            monkeypatch.setattr(module, name, call)

        counted(authentication, "api_key_mac")
        counted(hmac, "compare_digest")

        def look_up(text):
            counts.clear()
            with django_assert_num_queries(1), suppress(ApiError):
                authentication.look_up(text)
            return dict(counts)

        return look_up

    def test_work(self, alice, work):
        authentication.look_up(alice.text)  # notes the use
        expected = {"api_key_mac": 1, "compare_digest": 1}
        assert work(alice.text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "lk_live_" + "A" * 42,
            "lk_test_" + "A" * 42,
            "lk_live_",
            "lk_prod_" + "A" * 42,
            "lk_live_" + "A" * 41 + "é",
            "lk_live_" + "A" * 8000,
            "lk_",
        ],
    )
    def test_work_for_nobody(self, database, work, text):
        assert work(text) == {"api_key_mac": 1, "compare_digest": 1}

    def test_work_for_a_known_prefix(self, alice, work):
        text = alice.key.prefix + "A" * 32
        assert work(text) == {"api_key_mac": 1, "compare_digest": 1}

    def test_work_for_a_key_that_ended(self, alice, work):
        alice.key.revoke()
        assert work(alice.text) == {"api_key_mac": 1, "compare_digest": 1}
