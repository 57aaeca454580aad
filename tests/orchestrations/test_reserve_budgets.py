"""What a call may cost is held back from budgets while it is under way."""

import threading
from decimal import Decimal
from uuid import uuid4

import pytest

from orchestrations.gateway.reserving import IMAGE_TOKENS, most_tokens
from orchestrations.models import Attempt
from orchestrations.under_way import UnderWay
from orchestrations.work import Scope
from tests.conftest import new_caller
from tests.orchestrations.calling import (
    ASKED,
    MESSAGES_PATH,
    attempts,
    chat,
    chat_stream,
    infer,
    inferred,
    refusal,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    QUESTION,
    Provider,
    Scripted,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import get, post, start
from tests.orchestrations.test_spend_budgets import at_once, month_spent, set_budget

# Cents, at a dollar for a million tokens in, and a hundred for a million out.
INPUT, OUTPUT = Decimal("0.0001"), Decimal("0.01")


@pytest.fixture
def account(acme, provider, worker):
    set_price(acme, 1, 100)
    return open_account(acme, provider)


class Gate:
    """Holds every answer of a provider back until it is opened."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.is_open = threading.Event()
        provider.answers(Scripted(CHAT, act=lambda place: self.is_open.wait(10)))

    def held(self, count):
        """Wait until the provider has so many calls."""
        for _ in range(1000):
            if len(self.provider.asked) >= count:
                return
            threading.Event().wait(0.005)
        raise AssertionError("the calls do not come")


@pytest.fixture
def gate(provider):
    gate = Gate(provider)
    yield gate
    gate.is_open.set()


def parallel(count, action, meanwhile):
    """Do something at once in threads; and something else when all have begun."""
    answers = []
    thread = threading.Thread(target=lambda: answers.extend(at_once(count, action)))
    thread.start()
    try:
        meanwhile()
    finally:
        thread.join()
    return answers


def reserved(caller):
    (attempt,) = attempts(caller)
    return attempt.reserved


def reserving(caller, gate, call):
    """What is reserved while the call is under way."""
    found = []

    def look():
        gate.held(len(gate.provider.asked) + 1)
        found.append(reserved(caller))
        gate.is_open.set()

    parallel(1, lambda number: call(), look)
    assert not attempts(caller)
    return found[0]


class TestHowMuch:
    def test_all_bytes_in_and_the_limit_out(self, alice, account, gate):
        body = QUESTION | {"max_tokens": 50}
        amount = reserving(alice, gate, lambda: chat(alice, body))
        size = len(gate.provider.asked[0].body)
        assert amount == size * INPUT + 50 * OUTPUT

    def test_of_a_prompt_its_limit_too(self, alice, account, gate):
        claims = ASKED | {"parameters": {"max_tokens": 50}}
        amount = reserving(alice, gate, lambda: infer(alice, claims))
        size = len(gate.provider.asked[0].body)
        assert amount == size * INPUT + 50 * OUTPUT

    def test_without_a_limit_what_is_assumed(self, alice, account, gate, settings):
        settings.LUCID_ASSUMED_OUTPUT_TOKENS = 77
        amount = reserving(alice, gate, lambda: chat(alice))
        assert amount == len(gate.provider.asked[0].body) * INPUT + 77 * OUTPUT

    def test_for_every_choice(self, alice, account, gate):
        body = QUESTION | {"max_completion_tokens": 50, "n": 3}
        amount = reserving(alice, gate, lambda: chat(alice, body))
        assert amount == len(gate.provider.asked[0].body) * INPUT + 150 * OUTPUT

    def test_of_an_unpriced_model_nothing(self, alice, acme, provider, gate):
        open_account(acme, provider)
        assert reserving(alice, gate, lambda: chat(alice)) == 0

    def test_of_a_limit_like_2_53_the_most_that_there_is(self, alice, account, gate):
        body = QUESTION | {"max_tokens": 2**53}
        amount = reserving(alice, gate, lambda: chat(alice, body))
        assert amount == 10**6

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}},
            {"type": "image", "source": {"type": "base64", "data": "x" * 99}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ],
    )
    def test_an_image_is_not_counted_by_its_address(self, part):
        text = {"type": "text", "text": "What is it?"}
        body = QUESTION | {
            "messages": [{"role": "user", "content": [text, part, part]}]
        }
        most = most_tokens(str(body).encode(), body, 1).input_tokens
        assert 2 * IMAGE_TOKENS < most < 2 * IMAGE_TOKENS + 500

    def test_an_image_is_not_counted_by_its_bytes(self):
        image = {"url": "data:image/png;base64," + "x" * 400_000}
        body = QUESTION | {"messages": [{"content": [{"image_url": image}]}]}
        raw = str(body).encode()
        most = most_tokens(raw, body, 1).input_tokens
        assert IMAGE_TOKENS < most < IMAGE_TOKENS + 500

    def test_a_long_text_is(self):
        body = QUESTION | {"messages": [{"content": "It is. " * 50_000}]}
        raw = str(body).encode()
        assert most_tokens(raw, body, 1).input_tokens == len(raw)

    def test_what_may_be_cached_is_dearest(self):
        most = most_tokens(b'{"cache_control":{}}', {}, 1)
        assert (most.input_tokens, most.cache_write_1h_tokens) == (0, 20)


class TestTheBudgetOfARun:
    def test_calls_at_once_never_pass_it(self, alice, account, gate):
        claims = ASKED | {"parameters": {"max_tokens": 9}}
        at_most = Decimal("0.11")  # 9 tokens out, and some 100 bytes in
        run = start(alice, budget_cents=float(3 * at_most))
        claims |= {"orchestration_id": run}
        over: list[int] = []

        def look():
            gate.held(3)
            for _ in range(100):
                if len(over) == 9:
                    break
                threading.Event().wait(0.02)
            gate.is_open.set()

        def call(number):
            answer = infer(alice, claims)
            over.extend([1] if answer.status_code == 429 else [])
            return answer

        answers = parallel(12, call, look)
        assert sorted(it.status_code for it in answers) == [200] * 3 + [429] * 9
        refused = next(it for it in answers if it.status_code == 429)
        body = refusal(refused, 429, "BUDGET_EXCEEDED")
        assert "the orchestration" in body["message"]
        assert len(gate.provider.asked) == 3
        found = get(alice, run)
        assert found["inference_count"] == 3
        assert found["total_cost_cents"] <= 3 * at_most
        assert found["budget"]["exceeded"] is False

    def test_what_was_held_back_and_not_spent_is_free_again(self, alice, account):
        # A call reserves 0.5 and something, and costs 0.0914.
        run = start(alice, budget_cents=0.6)
        claims = ASKED | {"orchestration_id": run, "parameters": {"max_tokens": 50}}
        assert infer(alice, claims).status_code == 200
        refusal(infer(alice, claims), 429, "BUDGET_EXCEEDED")
        claims["parameters"] = {"max_tokens": 40}
        assert infer(alice, claims).status_code == 200

    @pytest.mark.parametrize("status", [400, 500])
    def test_a_failure_spends_nothing(self, alice, account, provider, status):
        run = start(alice, budget_cents=0.6)
        claims = ASKED | {"orchestration_id": run, "parameters": {"max_tokens": 50}}
        provider.answers(Scripted(b"{}", status=status), CHAT)
        for _ in range(3):
            provider.answers(Scripted(b"{}", status=status))
            refusal(infer(alice, claims), 502, "PROVIDER_ERROR")
        assert not attempts(alice)
        provider.answers(CHAT)
        assert infer(alice, claims).status_code == 200

    def test_neither_does_a_call_that_was_not_made(self, alice, acme, account):
        run = start(alice, budget_cents=0.6)
        claims = ASKED | {"orchestration_id": run, "parameters": {"max_tokens": 50}}
        account.allowed_hosts = []
        account.save()
        for _ in range(3):
            refusal(infer(alice, claims), 502, "PROVIDER_ERROR")
        assert not attempts(alice)
        found = get(alice, run)
        assert (found["status"], found["inference_count"]) == ("running", 0)
        account.allowed_hosts = ["127.0.0.1"]
        account.save()
        assert infer(alice, claims).status_code == 200

    def test_a_stream_holds_it_back_to_its_end(self, alice, account, provider):
        provider.answers(streamed(stream("It ")))
        run = start(alice, budget_cents=0.6)
        body = QUESTION | {"stream": True, "max_tokens": 50}
        answer = chat(alice, body, X_Lucid_Orchestration=run)
        again = chat(alice, body | {"max_tokens": 40}, X_Lucid_Orchestration=run)
        assert "held for calls" in refusal(again, 429, "BUDGET_EXCEEDED")["message"]
        whole(answer)
        body["max_tokens"] = 40
        answer = chat(alice, body, X_Lucid_Orchestration=run)
        assert answer.status_code == 200
        whole(answer)

    def test_an_unpriced_call_needs_some_to_be_left(self, alice, acme, provider):
        open_account(acme, provider)
        for limit, status in ((0.001, 200), (0, 429)):
            run = start(alice, budget_cents=limit)
            answer = infer(alice, ASKED | {"orchestration_id": run})
            assert answer.status_code == status

    def test_of_another_run_is_another(self, alice, account, gate):
        limits = {"parameters": {"max_tokens": 50}}
        runs = [start(alice, budget_cents=0.6) for _ in range(2)]

        def call(number):
            return infer(alice, ASKED | limits | {"orchestration_id": runs[number]})

        def look():
            gate.held(2)
            gate.is_open.set()

        answers = parallel(2, call, look)
        assert [it.status_code for it in answers] == [200, 200]


class TestTheBudgetOfAMonth:
    def test_calls_at_once_never_pass_it(self, alice, acme, account, gate):
        set_budget(acme, "0.66")
        run = start(alice)
        over = []

        def call(number):
            body = QUESTION | {"max_tokens": 20}
            headers = {"X_Lucid_Orchestration": run} if number % 2 else {}
            answer = chat(alice, body, **headers)
            over.extend([1] if answer.status_code == 429 else [])
            return answer

        def look():
            gate.held(3)
            for _ in range(100):
                if len(over) == 9:
                    break
                threading.Event().wait(0.02)
            gate.is_open.set()

        answers = parallel(12, call, look)
        assert sorted(it.status_code for it in answers) == [200] * 3 + [429] * 9
        assert len(gate.provider.asked) == 3
        assert month_spent(alice) == 3 * (14 * INPUT + 9 * OUTPUT)
        assert not attempts(alice)

    def test_it_is_of_one_mode(self, alice, acme, account):
        set_budget(acme, 0)
        refusal(chat(alice), 429, "BUDGET_EXCEEDED")
        assert chat(new_caller(acme, mode="test")).status_code == 200

    def test_a_fresh_run_is_not_begun_when_it_is_spent(self, alice, acme, account):
        set_budget(acme, 0)
        body = refusal(infer(alice), 429, "BUDGET_EXCEEDED")
        assert "this month" in body["message"]
        listed = alice.get("/v1/orchestrations").json()
        assert listed["orchestrations"] == []
        assert not attempts(alice)

    def test_calls_that_are_reported_leave_room_for_those_under_way(
        self, alice, acme, account, gate
    ):
        set_budget(acme, "0.6")
        run = start(alice)

        def report():
            gate.held(1)
            reported = {"model": "x", "provider": "custom", "cost_cents": 0.1}
            assert post(alice, run, "inferences", reported).status_code == 201
            refusal(chat(alice, QUESTION | {"max_tokens": 5}), 429, "BUDGET_EXCEEDED")
            gate.is_open.set()

        body = QUESTION | {"max_tokens": 45}
        (answer,) = parallel(1, lambda number: chat(alice, body), report)
        assert answer.status_code == 200


class TestHowManyAtATime:
    def test_a_provider_gets_no_more_than_it_may(self, alice, acme, provider, worker):
        open_account(acme, provider, concurrency=2)
        gate = Gate(provider)

        def look():
            gate.held(2)
            answer = chat(alice)
            body = refusal(answer, 429, "RATE_LIMITED")
            assert "custom has 2 calls" in body["message"]
            assert answer["Retry-After"] == "1"
            gate.is_open.set()

        answers = parallel(2, lambda number: chat(alice), look)
        assert [it.status_code for it in answers] == [200, 200]
        assert chat(alice).status_code == 200
        assert not attempts(alice)

    def test_it_is_of_one_provider_mode_and_tenant(
        self, alice, charlie, acme, provider, worker
    ):
        for name in ("custom", "openai"):
            open_account(acme, provider, name, concurrency=1)
        open_account(charlie.tenant, provider, concurrency=1)
        tester = new_caller(acme, mode="test")
        provider.answers(streamed(stream("It ")))
        answers = [
            chat_stream(alice),
            chat_stream(charlie),
            chat_stream(tester),
            chat(alice, QUESTION | {"stream": True}, X_Lucid_Provider="openai"),
        ]
        assert [it.status_code for it in answers] == [200] * 4
        refusal(chat(alice, X_Lucid_Provider="custom"), 429, "RATE_LIMITED")
        for answer in answers:
            whole(answer)

    def test_what_another_worker_has_under_way_counts(self, alice, acme, provider):
        open_account(acme, provider, concurrency=1)
        provider.answers(streamed(stream("It ")))
        answer = chat_stream(alice)
        row = attempts(alice)[0]
        whole(answer)
        row.save(force_insert=True)  # as if it were still there
        refusal(chat(alice), 429, "RATE_LIMITED")
        Attempt.objects.filter(pk=row.pk).delete()
        whole(chat_stream(alice))


def test_what_ends_in_the_batch_that_another_begins_in_is_free():
    scope = Scope(uuid4(), "live")
    attempt = {"orchestration_id": "run", "provider": "custom", "reserved": 7}
    under_way = UnderWay()
    under_way.begin(scope, attempt)
    assert under_way.reserved(scope) == under_way.reserved(scope, "run") == 7
    assert under_way.calls(scope, "custom") == 1
    under_way.end(scope, attempt)
    assert under_way.reserved(scope) == under_way.reserved(scope, "run") == 0
    assert under_way.calls(scope, "custom") == 0


def test_anthropic_s_limit_is_held_back_too(alice, acme, provider, gate):
    open_account(acme, provider, "anthropic")
    set_price(acme, 0, 100, provider="anthropic")
    body = QUESTION | {"max_tokens": 30}
    amount = reserving(alice, gate, lambda: alice.post(MESSAGES_PATH, body))
    assert amount == 30 * OUTPUT


def test_a_call_costs_no_more_than_was_held_back(alice, account):
    answer = inferred(alice, parameters={"max_tokens": 9})
    assert answer["cost"] == 14 * INPUT + 9 * OUTPUT
