"""A failed call is tried again where that may help, and each attempt has a record."""

import time
from email.utils import formatdate

import pytest
from django.db import connection, connections

from orchestrations.gateway import calls, retrying
from orchestrations.models import Budget, ContentSalts
from tests.orchestrations.calling import (
    ASKED,
    attempts,
    chat,
    chat_stream,
    infer,
    inferred,
    only_run,
    receipt_behind,
    receipts_of,
    refusal,
    salted,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    Scripted,
    chunk,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import get, start
from tests.orchestrations.test_keep_books import check_rollups
from tests.receipts.auditor import log_size


class Clock:
    """Stands in for `time` where the gateway pauses."""

    def __init__(self):
        self.pauses = []

    def sleep(self, seconds):
        self.pauses.append(seconds)

    monotonic = staticmethod(time.monotonic)


@pytest.fixture
def pauses(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(calls, "time", clock)
    return clock.pauses


@pytest.fixture
def account(acme, provider, pauses):
    """Two more tries."""
    return open_account(acme, provider, retries=2)


def busy(status=503, **headers):
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Scripted({"error": {"message": "busy"}}, status=status, headers=told)


class TestTheRecords:
    def test_each_attempt_has_one(self, alice, account, provider):
        set_price(alice.tenant)
        provider.answers(busy(500), busy(429), CHAT)
        answer = inferred(alice)
        receipts = receipts_of(alice)
        assert [it["attempt"] for it in receipts] == [1, 2, 3]
        assert [it["outcome"] for it in receipts] == ["failed", "failed", "completed"]
        assert [it.get("http_status") for it in receipts] == [500, 429, 200]
        assert [it["cost"]["cents"] for it in receipts] == ["0", "0", "0.0118"]
        assert answer["receipt"] == receipts[-1]
        assert len({it["run_id"] for it in receipts}) == 3
        assert not attempts(alice)

    def test_a_fresh_orchestration_has_them_all(self, alice, account, provider):
        provider.answers(busy(), CHAT)
        run = get(alice, inferred(alice)["orchestration_id"])
        assert run["status"] == "completed"
        assert (run["inference_count"], run["step_count"]) == (2, 1)
        assert only_run(alice).failed_count == 1
        assert log_size(alice) == 3
        assert check_rollups(alice.tenant)["verdict"] == "EQUAL"

    def test_a_fresh_orchestration_ends_with_the_last(self, alice, account, provider):
        provider.answers(busy())
        refusal(infer(alice), 502, "PROVIDER_ERROR")
        run = only_run(alice)
        assert (run.status, run.inference_count, run.step_count) == ("failed", 3, 1)

    def test_a_named_orchestration_has_them_all(self, alice, account, provider):
        provider.answers(busy(), CHAT)
        run = start(alice)
        inferred(alice, orchestration_id=run)
        found = get(alice, run)
        assert (found["status"], found["inference_count"]) == ("running", 2)

    def test_the_salts_are_those_of_each(self, alice, account, provider):
        provider.answers(busy(), CHAT)
        answer = chat(alice)
        first, second = receipts_of(alice)
        sent = provider.asked[0].body
        salt = answer["X-Lucid-Input-Salt"]
        assert first["input_hash"] == second["input_hash"] == salted(salt, sent)
        assert ContentSalts.objects.filter(tenant=alice.tenant).count() == 2

    def test_the_caller_gets_the_last_answer(self, alice, account, provider):
        provider.answers(busy(500), busy(500), busy(429, Retry_After="7"))
        answer = chat(alice)
        assert answer.status_code == 429
        assert answer["Retry-After"] == "7"
        assert answer["X-Should-Retry"] == "false"
        assert receipt_behind(alice, answer)["attempt"] == 3
        assert len(provider.asked) == 3

    def test_a_stream_may_come_at_the_second_try(self, alice, account, provider):
        provider.answers(busy(), streamed(stream("It ")))
        answer = chat_stream(alice)
        assert whole(answer) == b"".join(stream("It ", usage=None))
        assert [it["streamed"] for it in receipts_of(alice)] == [False, True]

    def test_the_same_is_sent_again(self, alice, account, provider):
        provider.answers(busy(), CHAT)
        chat(alice)
        first, second = provider.asked
        assert (first.path, first.body) == (second.path, second.body)
        assert first.headers == second.headers


class TestThePauses:
    def test_they_grow(self, alice, provider, pauses, acme):
        open_account(acme, provider, retries=5)
        provider.answers(busy())
        chat(alice)
        assert len(pauses) == 5
        for number, pause in enumerate(pauses):
            assert 0.25 * 2**number <= pause <= 0.5 * 2**number

    def test_they_are_not_the_same_for_all(self, monkeypatch):
        pauses = {retrying._backoff(1) for _ in range(20)}
        assert len(pauses) > 10

    @pytest.mark.parametrize(
        ("headers", "pause"),
        [
            ({"Retry_After": "7"}, 7),
            ({"Retry_After": "0"}, 0),
            ({"Retry_After": "20"}, 20),
            ({"Retry_After_Ms": "250"}, 0.25),
            ({"Retry_After_Ms": "250", "Retry_After": "7"}, 0.25),
            ({"Retry_After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ],
    )
    def test_are_what_the_provider_asks_for(
        self, alice, account, provider, pauses, headers, pause
    ):
        provider.answers(busy(429, **headers), CHAT)
        assert chat(alice).status_code == 200
        assert pauses == [pause]

    def test_may_be_until_a_date(self, alice, account, provider, pauses):
        until = formatdate(time.time() + 10, usegmt=True)
        provider.answers(busy(429, Retry_After=until), CHAT)
        assert chat(alice).status_code == 200
        assert 7 < pauses[0] <= 10

    @pytest.mark.parametrize(
        "headers",
        [
            {"Retry_After": "21"},
            {"Retry_After": "9" * 5000},
            {"Retry_After_Ms": "20001"},
            {"Retry_After_Ms": "9" * 5000},
            {"Retry_After": "Fri, 31 Dec 2999 23:59:59 GMT"},
        ],
    )
    def test_are_not_endured_when_too_long(
        self, alice, account, provider, pauses, headers
    ):
        provider.answers(busy(429, **headers))
        answer = chat(alice)
        assert answer.status_code == 429
        assert len(provider.asked) == 1
        assert not pauses
        assert not attempts(alice)

    @pytest.mark.parametrize("text", ["soon", "-1", "1.5", "nan", "\xb2", "Mon, 99"])
    def test_are_our_own_where_it_cannot_be_read(
        self, alice, account, provider, pauses, text
    ):
        provider.answers(busy(429, Retry_After=text), CHAT)
        assert chat(alice).status_code == 200
        assert 0.25 <= pauses[0] <= 0.5


@pytest.mark.skipif(connection.vendor != "postgresql", reason="has no server")
def test_no_connection_to_the_database_is_held(alice, account, provider, monkeypatch):
    ours, held = connections["default"], []

    def look(_):
        held.append(ours.connection)

    monkeypatch.setattr("orchestrations.gateway.calls.time.sleep", look)
    unwell = Scripted(b"{}", status=503, act=look)
    provider.answers(unwell, Scripted(CHAT, act=look))
    assert infer(alice).status_code == 200
    assert held == [None, None, None]


class TestWhatIsTriedAgain:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
    def test_what_passes(self, alice, account, provider, status):
        provider.answers(busy(status), CHAT)
        assert chat(alice).status_code == 200

    def test_an_unreachable_host(self, alice, acme, pauses):
        open_account(acme, None, retries=2)
        refusal(chat(alice), 502, "PROVIDER_ERROR")
        assert [it["attempt"] for it in receipts_of(alice)] == [1, 2, 3]
        assert len(pauses) == 2

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 413, 422, 501])
    def test_not_what_stays(self, alice, account, provider, status):
        provider.answers(busy(status))
        assert chat(alice).status_code == status
        assert len(provider.asked) == 1

    def test_not_an_answer_that_is_no_json(self, alice, account, provider):
        provider.answers(b"<html>")
        refusal(infer(alice), 502, "PROVIDER_ERROR")
        assert len(provider.asked) == 1

    def test_not_what_was_sent_and_broke_off(self, alice, account, provider):
        provider.answers(Scripted([b"{"], cut=True))
        refusal(infer(alice), 502, "PROVIDER_ERROR")
        assert len(provider.asked) == 1
        assert log_size(alice) == 2

    def test_not_what_was_sent_and_met_with_silence(self, alice, acme, provider):
        open_account(acme, provider, retries=2, silence_seconds=1)
        provider.answers(Scripted([b"", b"{}"], act=lambda place: time.sleep(1.5)))
        refusal(infer(alice), 504, "PROVIDER_TIMEOUT")
        assert len(provider.asked) == 1

    def test_not_a_stream_that_broke_off(self, alice, account, provider):
        provider.answers(streamed([chunk("It ")], cut=True))
        answer = chat_stream(alice)
        with pytest.raises(ConnectionResetError):
            list(answer.streaming_content)
        answer.close()
        assert len(provider.asked) == 1

    def test_nothing_where_no_retry_is_allowed(self, alice, acme, provider, pauses):
        open_account(acme, provider, retries=0)
        provider.answers(busy())
        assert chat(alice).status_code == 503
        assert len(provider.asked) == 1
        assert not pauses

    def test_nothing_in_an_orchestration_that_ended_meanwhile(
        self, alice, account, provider, pauses, monkeypatch
    ):
        run = start(alice)

        def end(seconds):
            alice.post(f"/v1/orchestrations/{run}/complete", {})

        monkeypatch.setattr("orchestrations.gateway.calls.time.sleep", end)
        provider.answers(busy())
        refusal(infer(alice, ASKED | {"orchestration_id": run}), 409, "NOT_RUNNING")
        assert len(provider.asked) == 1
        assert len(receipts_of(alice)) == 1
        assert not attempts(alice)


class TestAnAttemptThatThereMustNotBe:
    """The tenant's month is over budget before the second attempt."""

    @pytest.fixture
    def broke(self, alice, provider, monkeypatch):
        open_account(alice.tenant, provider, retries=2)
        provider.answers(Scripted({"error": {"message": "busy"}}, 500))

        def spend(seconds: float) -> None:
            Budget.objects.create(tenant=alice.tenant, mode="live", limit=0)

        clock = Clock()
        monkeypatch.setattr(clock, "sleep", spend)
        monkeypatch.setattr(calls, "time", clock)

    def test_it_is_not_made_and_the_first_is_named(self, alice, provider, broke):
        answer = refusal(infer(alice), 429, "BUDGET_EXCEEDED")
        (first,) = receipts_of(alice)
        assert answer["receipt_id"] == first["receipt_id"]
        assert len(provider.asked) == 1

    def test_the_run_that_was_begun_for_it_has_failed(self, alice, broke):
        infer(alice)
        run = get(alice, only_run(alice).pk)
        assert (run["status"], run["inference_count"]) == ("failed", 1)
        assert run["error"]["code"] == "BUDGET_EXCEEDED"

    def test_no_call_is_left_under_way(self, alice, broke):
        assert chat(alice).status_code == 429
        assert not attempts(alice)
