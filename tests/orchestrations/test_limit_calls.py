"""A worker has so many calls under way: 503 at once beyond, and every slot back."""

import threading
import time

import pytest

from orchestrations.gateway import calls
from orchestrations.gateway.upstream import Upstream
from tests.orchestrations.calling import (
    ASKED,
    chat,
    chat_stream,
    infer,
    refusal,
    whole,
)
from tests.orchestrations.provider import (
    Scripted,
    chunk,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import post, start


@pytest.fixture(autouse=True)
def two(settings):
    settings.LUCID_GATEWAY_CALLS = 2


@pytest.fixture
def account(two, acme, provider, worker):
    return open_account(acme, provider)


def test_beyond_them_it_is_a_503_at_once(alice, charlie, account, provider, worker):
    open_account(charlie.tenant, provider)
    provider.answers(streamed(stream("It ")))
    answers = [chat_stream(alice), chat_stream(charlie)]
    began = time.monotonic()
    for full in (chat(alice), infer(alice), chat_stream(charlie)):
        body = refusal(full, 503, "UNAVAILABLE")
        assert "2 calls under way" in body["message"]
        assert full["Retry-After"] == "1"
    assert time.monotonic() - began < 1
    assert len(provider.asked) == 2
    assert alice.get("/v1/orchestrations").status_code == 200
    assert start(alice)
    for answer in answers:
        whole(answer)
    assert worker.slots.are_free
    assert chat(alice).status_code == 200


def test_the_receipts_api_goes_on(alice, account, provider):
    provider.answers(streamed(stream("It ")))
    answers = [chat_stream(alice) for _ in range(2)]
    alice.record()
    for answer in answers:
        whole(answer)


ANSWERS = [
    Scripted(b"{}"),
    Scripted(b"no json"),
    Scripted(b"{}", status=401),
    Scripted(b"{}", status=503, headers={"Retry-After": "0"}),
    Scripted([b"{"], cut=True),
    Scripted(b"x" * (2 << 20)),
    streamed(stream("It ")),
    streamed([chunk("It ")], cut=True),
    streamed([], cut=True),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
@pytest.mark.parametrize("call", [infer, chat, chat_stream])
def test_each_is_given_back(alice, account, provider, worker, call, number):
    provider.answers(ANSWERS[number])
    answer = call(alice)
    if answer.streaming:
        for _ in answer.streaming_content:
            break
    answer.close()
    assert worker.slots.are_free
    assert answer.status_code < 500 or answer.status_code in (502, 503)


@pytest.mark.parametrize("call", [infer, chat, chat_stream])
class TestWithoutAnAnswer:
    def test_of_a_host_that_is_not_there(self, alice, acme, worker, call):
        open_account(acme, None)
        refusal(call(alice), 502, "PROVIDER_ERROR")
        assert worker.slots.are_free

    def test_of_a_host_that_must_not_be_called(self, alice, account, worker, call):
        account.allowed_hosts = []
        account.save()
        refusal(call(alice), 502, "PROVIDER_ERROR")
        assert worker.slots.are_free

    @pytest.mark.parametrize("where", [(calls, "_read"), (Upstream, "send")])
    def test_of_a_fault_of_ours(
        self, alice, account, worker, call, where, monkeypatch, provider
    ):
        def fail(*arguments):
            raise ValueError("a fault")

        monkeypatch.setattr(*where, fail)
        assert call(alice).status_code in (500, 502)
        assert worker.slots.are_free


@pytest.mark.parametrize("claims", [{"model": ""}, {"parameters": {"n": 2}}])
def test_a_bad_request_takes_none(alice, account, worker, claims):
    for _ in range(3):
        refusal(infer(alice, ASKED | claims), 400, "INVALID_REQUEST")
    assert worker.slots.are_free


def test_a_call_that_is_refused_gives_it_back(alice, account, worker):
    run = start(alice)
    post(alice, run, "complete", {})
    for _ in range(3):
        refusal(infer(alice, ASKED | {"orchestration_id": run}), 409, "NOT_RUNNING")
        refusal(chat(alice, X_Lucid_Orchestration=run), 409, "NOT_RUNNING")
    assert worker.slots.are_free


def test_they_are_counted_by_all_threads_together(worker):
    outcomes, barrier = [], threading.Barrier(8)

    def take():
        barrier.wait()
        for _ in range(200):
            try:
                worker.slots.take()
            except Exception:
                outcomes.append("full")
            else:
                worker.slots.give_back()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worker.slots.are_free
