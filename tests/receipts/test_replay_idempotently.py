import threading

import pytest
from django.db import connections

from lucid.api.models import IdempotentAnswer
from tests.caller import RUN
from tests.conftest import new_caller
from tests.receipts.auditor import dumps, log_size

BATCH = {"receipts": [RUN, RUN | {"runtime": "sglang"}]}
REQUESTS = [("/v1/receipts", RUN), ("/v1/receipts/batch", BATCH)]
IDS = ["single", "batch"]


def post(caller, path, body, key="key-1", **headers):
    return caller.post(path, body, Idempotency_Key=key, **headers)


def replayed(answer):
    return answer.headers.get("Idempotent-Replayed")


def kept(caller):
    return IdempotentAnswer.objects.filter(tenant_id=caller.tenant.pk).count()


@pytest.mark.parametrize(("path", "body"), REQUESTS, ids=IDS)
class TestTheSameRequest:
    def test_gets_the_same_bytes(self, alice, path, body):
        first = post(alice, path, body)
        again = post(alice, path, body)
        assert again.status_code == first.status_code == 200
        assert again.content == first.content
        assert again["Content-Type"] == "application/json"

    def test_is_done_once(self, alice, path, body):
        post(alice, path, body)
        size = log_size(alice)
        for _ in range(3):
            post(alice, path, body)
        assert log_size(alice) == size

    def test_is_marked_when_it_is_a_repeat(self, alice, path, body):
        assert replayed(post(alice, path, body)) is None
        assert replayed(post(alice, path, body)) == "true"
        assert replayed(post(alice, path, body)) == "true"

    def test_has_a_request_id_of_its_own(self, alice, path, body):
        post(alice, path, body, X_Request_ID="first")
        again = post(alice, path, body, X_Request_ID="second")
        assert again["X-Request-ID"] == "second"

    def test_may_come_with_another_key_of_the_tenant(self, alice, acme, path, body):
        first = post(alice, path, body)
        again = post(new_caller(acme, ("receipts:write",)), path, body)
        assert again.content == first.content

    def test_under_another_key_is_another(self, alice, path, body):
        first = post(alice, path, body, key="key-1")
        other = post(alice, path, body, key="key-2")
        assert other.content != first.content
        assert replayed(other) is None

    def test_without_a_key_is_another(self, alice, path, body):
        first = post(alice, path, body)
        other = alice.post(path, body)
        assert other.content != first.content
        assert replayed(other) is None

    def test_of_another_tenant_is_another(self, alice, charlie, path, body):
        first = post(alice, path, body)
        other = post(charlie, path, body)
        assert other.status_code == 200
        assert other.content != first.content
        assert replayed(other) is None

    def test_in_another_mode_is_another(self, alice, alice_test, path, body):
        first = post(alice, path, body)
        other = post(alice_test, path, body)
        assert other.status_code == 200
        assert other.content != first.content
        assert replayed(other) is None


@pytest.mark.parametrize(("path", "body"), REQUESTS, ids=IDS)
class TestAnotherBody:
    @pytest.mark.parametrize(
        "change", [{"unknown": 1}, {"runtime": "x", "receipts": [RUN]}]
    )
    def test_is_a_conflict(self, alice, path, body, change):
        post(alice, path, body)
        size = log_size(alice)
        answer = post(alice, path, body | change)
        assert answer.status_code == 409
        assert answer.json()["error_code"] == "IDEMPOTENCY_CONFLICT"
        assert [*answer.json()["details"]] == ["Idempotency-Key"]
        assert replayed(answer) is None
        assert log_size(alice) == size

    def test_in_another_spelling_is_a_conflict(self, alice, path, body):
        # The bytes are compared, and not what they mean.
        post(alice, path, body)
        assert post(alice, path, dumps(body)).status_code == 409

    def test_leaves_the_first_answer_in_place(self, alice, path, body):
        first = post(alice, path, body)
        post(alice, path, body | {"unknown": 1})
        assert post(alice, path, body).content == first.content


class TestErrors:
    def test_a_400_is_not_stored(self, alice):
        assert post(alice, "/v1/receipts", {}).status_code == 400
        assert kept(alice) == 0
        answer = post(alice, "/v1/receipts", RUN)
        assert (answer.status_code, replayed(answer)) == (200, None)

    def test_a_conflict_of_run_ids_is_not_stored(self, alice):
        alice.record(run_id="run-1")
        other = RUN | {"run_id": "run-1", "tokens_in": 1}
        for _ in range(2):
            answer = post(alice, "/v1/receipts", other)
            assert answer.json()["error_code"] == "RUN_ID_CONFLICT"
            assert replayed(answer) is None
        assert kept(alice) == 0

    def test_a_403_is_not_stored(self, alice, bob):
        assert post(bob, "/v1/receipts", RUN).status_code == 403
        assert kept(alice) == 0

    def test_the_answer_to_a_batch_with_bad_members_is_stored(self, alice):
        body = {"receipts": [RUN, {}]}
        first = post(alice, "/v1/receipts/batch", body)
        again = post(alice, "/v1/receipts/batch", body)
        assert again.content == first.content
        assert replayed(again) == "true"

    def test_a_bad_body_is_400_under_a_used_key_too(self, alice):
        post(alice, "/v1/receipts", RUN)
        assert post(alice, "/v1/receipts", b"{").status_code == 400


class TestTheKey:
    @pytest.mark.parametrize(
        "key", ["a", "a" * 255, "7b0d2d6e-8a39-4b3e-a6a2-5a86a5a6e2ac", "!~#/?&=\"'"]
    )
    def test_it_has_printable_characters(self, alice, key):
        first = post(alice, "/v1/receipts", RUN, key)
        assert first.status_code == 200
        assert post(alice, "/v1/receipts", RUN, key).content == first.content

    @pytest.mark.parametrize("key", ["", " ", "a b", "a" * 256, "é", "a\tb", "a\x7f"])
    @pytest.mark.parametrize(("path", "body"), REQUESTS, ids=IDS)
    def test_another_is_400(self, alice, path, body, key):
        answer = post(alice, path, body, key)
        assert answer.status_code == 400
        assert [*answer.json()["details"]] == ["Idempotency-Key"]
        assert log_size(alice) == 0

    def test_case_makes_another(self, alice):
        first = post(alice, "/v1/receipts", RUN, "key")
        assert post(alice, "/v1/receipts", RUN, "KEY").content != first.content

    def test_it_is_of_one_endpoint(self, alice):
        post(alice, "/v1/receipts", RUN)
        answer = post(alice, "/v1/receipts/batch", BATCH)
        assert (answer.status_code, replayed(answer)) == (200, None)

    def test_it_says_nothing_where_nothing_is_created(self, alice):
        alice.record(run_id="run-1")
        for _ in range(2):
            answer = post(alice, "/v1/receipts/run-1/verify", {})
            assert (answer.status_code, replayed(answer)) == (200, None)


def test_a_repeat_of_a_run_id_under_a_new_key_is_answered_and_kept(alice):
    stored = alice.record(run_id="run-1")
    body = RUN | {"run_id": "run-1"}
    first = post(alice, "/v1/receipts", body)
    assert first.json()["receipt"] == stored
    assert post(alice, "/v1/receipts", body).content == first.content
    assert log_size(alice) == 1


def test_of_many_at_once_one_is_done(alice):
    answers = []
    start = threading.Barrier(8)

    def client():
        start.wait(20)
        answers.append(post(alice, "/v1/receipts", RUN))
        connections.close_all()

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({answer.content for answer in answers}) == 1
    assert sorted(map(replayed, answers), key=str) == [None, *["true"] * 7]
    assert log_size(alice) == 1
