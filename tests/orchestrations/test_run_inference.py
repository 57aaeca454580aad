import json
from decimal import Decimal

import pytest

from orchestrations.models import Orchestration
from orchestrations.settling import settle_all
from receipts.verifier import Verdict
from tenants.models import Mode
from tests.caller import Caller
from tests.conftest import new_caller
from tests.orchestrations.calling import (
    ASKED,
    INFERENCE,
    attempts,
    infer,
    inferred,
    only_run,
    receipt_of,
    refusal,
    salted,
    set_price,
)
from tests.orchestrations.provider import (
    CHAT,
    MESSAGE,
    MODEL,
    SECRET,
    USAGE,
    Scripted,
    open_account,
)
from tests.orchestrations.runs import AGENT, get, post, start
from tests.receipts.auditor import audit, fetch, log_size

MEMBERS = {
    *("success", "response", "receipt_id", "tokens_used", "cost", "cost_cents"),
    *("inference_id", "orchestration_id", "model", "provider", "latency_ms"),
    *("finish_reason", "usage", "receipt", "input_salt", "output_salt"),
}
TOKENS = {
    "input_tokens": 14,
    "cache_read_tokens": 0,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
    "output_tokens": 9,
    "reasoning_tokens": 0,
}
NO_RUN = "maip-orch:01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


class TestTheAnswer:
    def test_it_has_every_member(self, alice, account):
        set_price(alice.tenant)
        answer = inferred(alice)
        assert answer.keys() == MEMBERS
        told = {name: answer[name] for name in MEMBERS if name in ASKED}
        assert told == {"model": MODEL}
        assert answer["response"] == "It is covered."
        assert answer["provider"] == "custom"
        assert answer["finish_reason"] == "stop"
        assert answer["usage"] == TOKENS
        assert answer["tokens_used"] == 23
        assert answer["cost"] == answer["cost_cents"] == Decimal("0.0118")
        assert 0 <= answer["latency_ms"] < 10_000

    def test_its_receipt_is_the_one_in_the_log(self, alice, account):
        answer = inferred(alice)
        receipt = receipt_of(alice, answer["inference_id"])
        assert answer["receipt"] == receipt
        assert answer["receipt_id"] == receipt["receipt_id"]
        assert answer["orchestration_id"] == receipt["orchestration_id"]
        assert receipt["observed"] == "witnessed"
        assert receipt["outcome"] == "completed"
        assert receipt["agent_id"] == AGENT
        assert audit(alice, answer["inference_id"]).verdict is Verdict.VALID

    def test_an_unpriced_call_has_no_cost(self, alice, account):
        answer = inferred(alice)
        assert answer["cost"] is answer["cost_cents"] is None
        assert answer["tokens_used"] == 23

    def test_its_hashes_are_of_the_request_and_the_text(self, alice, account):
        answer = inferred(alice)
        receipt = answer["receipt"]
        sent = json.dumps(ASKED).encode()
        assert receipt["input_hash"] == salted(answer["input_salt"], sent)
        text = b"It is covered."
        assert receipt["output_hash"] == salted(answer["output_salt"], text)

    def test_the_provider_is_asked_for_one_answer(self, alice, account, provider):
        parameters = {"temperature": 0.5, "max_tokens": 9, "stop": ["."], "seed": 7}
        inferred(alice, parameters=parameters | {"system": "Be brief.", "top_k": 3})
        (asked,) = provider.asked
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        assert asked.json == {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Is it covered?"},
            ],
            "top_k": 3,
            **parameters,
        }

    def test_anthropic_is_asked_in_its_own_way(self, alice, provider):
        open_account(alice.tenant, provider, "anthropic")
        provider.answers(MESSAGE)
        answer = inferred(alice)
        assert answer["response"] == "It is covered."
        assert answer["finish_reason"] == "end_turn"
        assert answer["tokens_used"] == 23
        (asked,) = provider.asked
        assert asked.path == "/v1/messages"
        assert asked.headers["x-api-key"] == SECRET
        assert asked.headers["anthropic-version"] == "2023-06-01"
        assert asked.json["max_tokens"] == 4096

    def test_an_answer_without_text_has_none(self, alice, account, provider):
        choice = {"message": {"content": None}, "finish_reason": "content_filter"}
        provider.answers(CHAT | {"choices": [choice]})
        answer = inferred(alice)
        assert answer["response"] == ""
        assert answer["finish_reason"] == "content_filter"


class TestItsOrchestration:
    def test_a_fresh_one_is_of_this_call_alone(self, alice, account):
        set_price(alice.tenant)
        answer = inferred(alice)
        run = get(alice, answer["orchestration_id"])
        assert run["status"] == "completed"
        assert run["inference_count"] == run["step_count"] == 1
        assert run["total_tokens"] == 23
        assert run["total_cost_cents"] == answer["cost"]
        (step,) = run["steps"]
        assert step["action"] == "llm_inference"
        assert step["agent_id"] == AGENT
        assert step["result"] == {
            "receipt_id": answer["receipt_id"],
            "outcome": "completed",
        }
        final = fetch(alice, f"/v1/receipts/{run['receipt_id']}")["receipt"]
        assert final["receipt_type"] == "orchestration"
        assert final["status"] == "completed"
        assert final["inferences"]["count"] == 1
        assert final["totals"]["cost_cents"] == "0.0118"
        assert final["totals"]["steps"] == 1
        assert log_size(alice) == 2

    def test_a_fresh_one_proves_that_it_counted_the_call(self, alice, account):
        answer = inferred(alice)
        proof = fetch(alice, f"/v1/inferences/{answer['inference_id']}/proof")["proof"]
        run = only_run(alice)
        assert proof["final_receipt_id"] == str(run.receipt_id)

    def test_a_fresh_one_fails_with_its_call(self, alice, account, provider):
        provider.answers(Scripted({"error": {"message": "no"}}, status=400))
        body = refusal(infer(alice), 502, "PROVIDER_ERROR")
        run = get(alice, body["orchestration_id"])
        assert run["status"] == "failed"
        assert run["error"] == {"code": "HTTP_400", "message": "no"}
        assert run["inference_count"] == run["step_count"] == 1
        assert run["receipt_id"]

    def test_a_named_one_goes_on(self, alice, account):
        run = start(alice)
        for _ in range(2):
            answer = inferred(alice, orchestration_id=run)
            assert answer["orchestration_id"] == run
        found = get(alice, run)
        assert found["status"] == "running"
        assert found["inference_count"] == 2
        assert found["step_count"] == 0
        assert found["total_tokens"] == 46
        assert post(alice, run, "complete", {}).status_code == 200
        assert Orchestration.objects.filter(tenant=alice.tenant).count() == 1

    def test_an_outsider_s_is_not_found(self, alice, charlie, account, provider):
        named = ASKED | {"orchestration_id": start(charlie)}
        refusal(infer(alice, named), 404, "NOT_FOUND")
        refusal(infer(alice, ASKED | {"orchestration_id": NO_RUN}), 404, "NOT_FOUND")
        assert not provider.asked

    def test_one_of_the_other_mode_is_not_found(self, alice, alice_test, account):
        named = ASKED | {"orchestration_id": start(alice)}
        refusal(infer(alice_test, named), 404, "NOT_FOUND")

    def test_nothing_is_asked_for_one_that_ended(self, alice, account, provider):
        run = start(alice)
        post(alice, run, "complete", {})
        named = ASKED | {"orchestration_id": run}
        assert refusal(infer(alice, named), 409, "NOT_RUNNING")["status"] == "completed"
        assert not provider.asked
        assert not attempts(alice)

    def test_nor_for_one_whose_time_is_over(self, alice, account, provider):
        run = start(alice)
        over = Orchestration.objects.get(pk=run).started_at
        Orchestration.objects.filter(pk=run).update(expires_at=over)
        answer = infer(alice, ASKED | {"orchestration_id": run})
        assert refusal(answer, 409, "NOT_RUNNING")["status"] == "timeout"
        assert not provider.asked
        settle_all()


class TestModesAndScopes:
    def test_test_data_is_apart(self, alice, alice_test, account):
        answer = inferred(alice_test)
        path = f"/v1/inferences/{answer['inference_id']}"
        assert alice_test.get(path).status_code == 200
        assert alice.get(path).status_code == 404
        assert only_run(alice).mode == Mode.TEST
        assert log_size(alice_test) == 2
        assert log_size(alice) == 0

    @pytest.mark.parametrize(
        "path", [INFERENCE, "/v1/chat/completions", "/v1/messages"]
    )
    def test_it_takes_a_key_that_may_write(self, bob, acme, account, provider, path):
        body = refusal(bob.post(path, ASKED), 403, "INSUFFICIENT_SCOPE")
        assert "orchestrations:write" in body["message"]
        reader = new_caller(acme, ("orchestrations:read",))
        refusal(reader.post(path, ASKED), 403, "INSUFFICIENT_SCOPE")
        assert not provider.asked

    def test_an_outsider_has_other_accounts(self, charlie, account, provider):
        body = refusal(infer(charlie), 400, "INVALID_REQUEST")
        assert body["details"].keys() == {"model"}
        assert not provider.asked


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("model", ""),
            ("model", None),
            ("model", "x" * 201),
            ("model", "a\0b"),
            ("prompt", ""),
            ("prompt", ["text"]),
            ("agent_id", ""),
            ("agent_id", 7),
            ("provider", "azure"),
            ("provider", "openai"),
            ("orchestration_id", "claims"),
            ("parameters", []),
            ("parameters.temperature", "hot"),
            ("parameters.max_tokens", 0),
            ("parameters.max_tokens", 1.5),
            ("parameters.stop", 1),
            ("parameters.seed", "1"),
            ("parameters.system", {}),
            ("parameters.stream", True),
            ("parameters.n", 2),
            ("parameters.messages", []),
            ("parameters.model", "other"),
        ],
    )
    def test_it_is_named(self, alice, account, provider, field, value):
        name, _, parameter = field.partition(".")
        claims = ASKED | {name: {parameter: value} if parameter else value}
        body = refusal(infer(alice, claims), 400, "INVALID_REQUEST")
        assert body["details"].keys() == {field}
        assert not provider.asked
        assert log_size(alice) == 0
        assert not attempts(alice)

    @pytest.mark.parametrize("field", ["model", "prompt", "agent_id"])
    def test_it_is_named_when_it_is_not_there(self, alice, account, field):
        claims = {name: value for name, value in ASKED.items() if name != field}
        body = refusal(infer(alice, claims), 400, "INVALID_REQUEST")
        assert body["details"].keys() == {field}

    def test_no_numbers_are_too_large_or_none(self, alice, account, provider):
        body = json.dumps(ASKED)[:-1] + ', "parameters": {"temperature": %s}}'
        for literal, status in (("1e999", 400), ("NaN", 400), ("0.30", 200)):
            answer = alice.post(INFERENCE, (body % literal).encode())
            assert answer.status_code == status, answer.content
        assert provider.asked[-1].json["temperature"] == 0.3

    def test_a_prompt_of_more_than_a_mebibyte(self, alice, account):
        refusal(infer(alice, ASKED | {"prompt": "x" * 2**20}), 413, "PAYLOAD_TOO_LARGE")


def test_usage_is_the_provider_s_own(alice, account):
    assert inferred(alice)["receipt"]["reported"] == {"usage": USAGE}
