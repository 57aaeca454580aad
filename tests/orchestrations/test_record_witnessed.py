"""What a receipt says of a call that the gateway made, and what the books count."""

import json
from decimal import Decimal

import pytest

from orchestrations.models import UsageDay
from receipts.verifier import Verdict
from tests.orchestrations.calling import (
    ASKED,
    MESSAGES_PATH,
    chat,
    chat_stream,
    infer,
    inferred,
    read_until_cut,
    receipt_behind,
    receipts_of,
    refusal,
    row_of,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    MESSAGE,
    MODEL,
    QUESTION,
    USAGE,
    Scripted,
    chunk,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import AGENT, exact, get, post, start
from tests.orchestrations.test_keep_books import check_rollups
from tests.receipts.auditor import audit, log_size

SONNET = "claude-sonnet-4-5"
NAMES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
BODY = {
    *("schema_version", "receipt_type", "run_id", "timestamp", "issued_at"),
    *("model", "provider", "observed", "outcome", "attempt", "streamed"),
    *("orchestration_id", "agent_id", "request_id", "input_hash", "output_hash"),
    *("latency_ms", "http_status", "served_model", "finish_reason", "reported"),
    *("usage", "cost", "receipt_hash", "receipt_signature", "signer_pubkey"),
    *("signer_kid", "signer_type", "receipt_id", "_mmr_leaf_index", "anchor"),
}
UNSIGNABLE = "a\0b\ud800c"  # no receipt can hold it, nor can PostgreSQL


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


@pytest.fixture
def openai(acme, provider):
    return open_account(acme, provider, "openai")


@pytest.fixture
def anthropic(acme, provider):
    return open_account(acme, provider, "anthropic")


def counted(alice, provider, usage, **members):
    """The receipt of a chat completion with that usage."""
    provider.answers(CHAT | {"usage": usage} | members)
    return receipt_behind(alice, chat(alice))


def message(alice, provider, usage, model=MODEL):
    provider.answers(MESSAGE | {"usage": usage, "model": model})
    answer = alice.post(MESSAGES_PATH, QUESTION | {"model": model})
    return receipt_behind(alice, answer)


def buckets(receipt):
    usage = receipt["usage"]
    return {name: usage[f"{name}_tokens"] for name in NAMES if usage[f"{name}_tokens"]}


def sound(alice, receipt):
    """Say whether everybody can check the receipt."""
    return audit(alice, receipt["run_id"]).verdict is Verdict.VALID


class TestTheReceipt:
    def test_its_members(self, alice, account):
        receipt = inferred(alice)["receipt"]
        assert receipt.keys() == BODY
        assert receipt["receipt_type"] == "inference"
        assert receipt["observed"] == "witnessed"
        assert receipt["outcome"] == "completed"
        assert receipt["attempt"] == 1
        assert receipt["streamed"] is False
        assert receipt["agent_id"] == AGENT
        assert receipt["model"] == MODEL
        assert receipt["served_model"] == "tiny-1-2026-11-01"
        assert receipt["http_status"] == 200
        assert receipt["request_id"] == "chatcmpl-1"
        assert receipt["finish_reason"] == "stop"
        assert receipt["reported"] == {"usage": USAGE}

    def test_its_row_says_the_same(self, alice, account):
        set_price(alice.tenant)
        receipt = inferred(alice)["receipt"]
        row = row_of(receipt)
        assert (row.model, row.served_model) == (MODEL, "tiny-1-2026-11-01")
        assert (row.provider, row.agent_id) == ("custom", AGENT)
        assert (row.outcome, row.api_key_id) == ("completed", alice.key.pk)
        assert row.orchestration_id == receipt["orchestration_id"]
        assert (row.input_tokens, row.output_tokens) == (14, 9)
        assert row.cost == row.list_price == Decimal("0.0118")
        assert row.latency_ms == receipt["latency_ms"]

    def test_the_provider_s_header_names_the_request_first(
        self, alice, account, provider
    ):
        for name in ("X-Request-Id", "Request-Id", "x-amzn-RequestId"):
            provider.answers(Scripted(CHAT, headers={name: f"of {name}"}))
            assert receipt_behind(alice, chat(alice))["request_id"] == f"of {name}"


class TestTokens:
    def test_openai_s_input_includes_what_a_cache_held(self, alice, account, provider):
        receipt = counted(
            alice,
            provider,
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
                "completion_tokens": 20,
                "completion_tokens_details": {"reasoning_tokens": 15},
                "total_tokens": 120,
            },
        )
        assert buckets(receipt) == {"input": 40, "cache_read": 60, "output": 20}
        assert receipt["usage"]["reasoning_tokens"] == 15
        assert "contradictions" not in receipt["usage"]
        assert row_of(receipt).reasoning_tokens == 15

    def test_anthropic_s_does_not(self, alice, anthropic, provider):
        usage = {
            "input_tokens": 3,
            "cache_read_input_tokens": 40,
            "cache_creation_input_tokens": 12,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 10,
                "ephemeral_1h_input_tokens": 2,
            },
            "output_tokens": 7,
        }
        assert buckets(message(alice, provider, usage)) == {
            "input": 3,
            "cache_read": 40,
            "cache_write_5m": 10,
            "cache_write_1h": 2,
            "output": 7,
        }

    def test_a_sum_that_is_none_is_flagged(self, alice, account, provider):
        receipt = counted(alice, provider, USAGE | {"total_tokens": 24})
        (complaint,) = receipt["usage"]["contradictions"]
        assert "24" in complaint
        assert row_of(receipt).flagged
        assert sound(alice, receipt)

    @pytest.mark.parametrize("count", [10**9 + 1, 2**53 - 1])
    def test_counts_beyond_reason_are_not_counted(
        self, alice, account, provider, count
    ):
        set_price(alice.tenant)
        usage = {"prompt_tokens": 1, "completion_tokens": count}
        receipt = counted(alice, provider, usage)
        assert receipt["usage"].keys() == {"contradictions"}
        assert "more than any call has" in receipt["usage"]["contradictions"][-1]
        assert receipt["reported"] == {"usage": usage}
        assert receipt["cost"] == {"source": "unpriced"}
        row = row_of(receipt)
        assert (row.output_tokens, row.cost, row.flagged) == (0, None, True)

    def test_a_thousand_million_is_the_most(self, alice, account, provider):
        usage = {"prompt_tokens": 1, "completion_tokens": 10**9 - 1}
        assert counted(alice, provider, usage)["usage"]["output_tokens"] == 10**9 - 1

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 9},
            {"prompt_tokens": "14", "completion_tokens": 9},
            {"prompt_tokens": 2**53, "completion_tokens": 9},
            {"prompt_tokens": 2**70, "completion_tokens": 9},
            {"prompt_tokens": 1.5, "completion_tokens": 9},
            {"completion_tokens": 9, "prompt_tokens_details": [UNSIGNABLE]},
            {"completion_tokens": 9, UNSIGNABLE: 1, "x": UNSIGNABLE},
            {"completion_tokens": 9, "x": "x" * 100_000},
            {"completion_tokens": 9, "x": [[[[[[[[[[[[1]]]]]]]]]]]]},
        ],
    )
    def test_what_no_count_is_breaks_nothing(self, alice, account, provider, usage):
        receipt = counted(alice, provider, usage)
        assert receipt["outcome"] == "completed"
        assert receipt["usage"]["output_tokens"] == 9
        assert receipt["usage"]["input_tokens"] == 0
        assert sound(alice, receipt)

    @pytest.mark.parametrize("usage", [None, [], "fourteen", 14])
    def test_without_usage_they_are_estimated(self, alice, account, provider, usage):
        receipt = counted(alice, provider, usage)
        assert receipt["usage_estimated"] is True
        assert receipt["usage"]["output_tokens"] == 4  # of "It is covered."
        assert receipt["usage"]["input_tokens"] == -(-len(json.dumps(QUESTION)) // 4)


class TestTheCost:
    def test_is_the_catalogue_s(self, alice, anthropic, provider):
        usage = {
            "input_tokens": 3,
            "cache_creation_input_tokens": 12_304,
            "output_tokens": 550,
        }
        receipt = message(alice, provider, usage, SONNET)
        cost = receipt["cost"]
        assert (cost["source"], cost["cents"]) == ("catalogue", "5.4399")
        assert cost["list_price_cents"] == "5.4399"
        assert cost["list_price_buckets"].keys() == {
            "input",
            "cache_write_5m",
            "output",
        }

    def test_is_the_tenant_s(self, alice, anthropic, provider):
        set_price(alice.tenant, 100, 0, model=SONNET, provider="anthropic")
        usage = {"input_tokens": 10_000, "output_tokens": 5}
        cost = message(alice, provider, usage, SONNET)["cost"]
        assert (cost["source"], cost["cents"]) == ("tenant_price", "100")

    def test_is_of_what_was_served(self, alice, openai, provider):
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
        receipt = counted(alice, provider, usage, model="gpt-4o-2024-08-06")
        assert receipt["cost"]["source"] == "catalogue"
        assert receipt["cost"]["cents"] == "250"

    def test_unless_the_tenant_has_a_price_for_what_is_asked(
        self, alice, openai, provider
    ):
        set_price(alice.tenant, 1, 0, provider="openai")
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
        receipt = counted(alice, provider, usage, model="gpt-4o-2024-08-06")
        assert receipt["cost"]["source"] == "tenant_price"
        assert receipt["cost"]["cents"] == "100"

    def test_reasoning_is_not_paid_twice(self, alice, account, provider):
        set_price(alice.tenant, 0, 1)
        details = {"completion_tokens_details": {"reasoning_tokens": 10_000}}
        usage = {"prompt_tokens": 0, "completion_tokens": 10_000} | details
        assert counted(alice, provider, usage)["cost"]["cents"] == "1"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
    def test_is_nothing_where_the_provider_refused(
        self, alice, account, provider, status
    ):
        set_price(alice.tenant)
        provider.answers(Scripted({"error": "no"}, status=status))
        receipt = receipt_behind(alice, chat(alice))
        assert receipt["cost"] == {"source": "no_charge", "cents": "0"}
        assert row_of(receipt).cost == 0

    def test_is_not_known_where_it_went_silent(self, alice, acme, provider):
        set_price(alice.tenant)
        open_account(acme, provider)
        provider.answers(Scripted([b"{"], cut=True))
        receipt = receipt_behind(alice, chat(alice))
        assert receipt["cost"] == {"source": "unpriced"}
        assert row_of(receipt).cost is None


class TestTextsOfTheProvider:
    @pytest.mark.parametrize("status", [200, 400])
    def test_an_error_s(self, alice, account, provider, status):
        error = {"error": {"message": UNSIGNABLE, "type": "\0"}}
        provider.answers(Scripted(error, status=status))
        answer = infer(alice)
        body = refusal(answer, 502, "PROVIDER_ERROR")
        receipt = receipt_behind(alice, answer)
        assert receipt["error"]["message"] == "a b?c"
        run = get(alice, body["orchestration_id"])
        assert run["status"] == "failed"
        assert run["error"]["message"] == "a b?c"
        assert sound(alice, receipt)

    @pytest.mark.parametrize("text", [UNSIGNABLE, "x" * 5000, "é" * 5000])
    def test_an_answer_s(self, alice, account, provider, text):
        choice = {"message": {"content": text}, "finish_reason": text}
        provider.answers(CHAT | {"id": text, "model": text, "choices": [choice]})
        receipt = receipt_behind(alice, chat(alice))
        assert receipt["outcome"] == "completed"
        for name in ("request_id", "served_model", "finish_reason"):
            assert receipt[name] == text.replace("\0", "").replace("\ud800", "?")[:200]
        assert row_of(receipt).served_model == receipt["served_model"]
        assert sound(alice, receipt)
        answer = infer(alice)
        assert answer.status_code == 200
        assert answer.json()["response"] == text.replace("\ud800", "?")

    def test_a_long_error_s(self, alice, account, provider):
        provider.answers(Scripted({"error": {"message": "x" * 100_000}}, status=400))
        answer = infer(alice)
        refusal(answer, 502, "PROVIDER_ERROR")
        receipt = receipt_behind(alice, answer)
        assert receipt["error"]["message"] == "x" * 500

    @pytest.mark.parametrize("body", [b"\xff\0no", b"", b"[1]", b"<html>" * 9999])
    def test_an_error_s_that_is_no_json(self, alice, account, provider, body):
        provider.answers(Scripted(body, status=502))
        answer = infer(alice)
        refusal(answer, 502, "PROVIDER_ERROR")
        receipt = receipt_behind(alice, answer)
        assert len(receipt["error"].get("message", "")) <= 200
        assert get(alice, receipt["orchestration_id"])["status"] == "failed"
        assert sound(alice, receipt)

    def test_a_header_s(self, alice, account, provider):
        provider.answers(Scripted(CHAT, headers={"X-Request-Id": "é" * 300}))
        receipt = receipt_behind(alice, chat(alice))
        assert receipt["request_id"] == "é" * 200


def test_the_books_count_what_the_receipts_say(alice, account, provider):
    set_price(alice.tenant)
    run = start(alice)
    inferred(alice)
    inferred(alice, orchestration_id=run)
    chat(alice)
    provider.answers(streamed(stream("It ")))
    whole(chat_stream(alice))
    provider.answers(streamed([chunk("It ")], cut=True))
    read_until_cut(chat_stream(alice))
    provider.answers(Scripted({"error": "no"}, status=400))
    refusal(infer(alice), 502, "PROVIDER_ERROR")
    refusal(infer(alice, ASKED | {"orchestration_id": run}), 502, "PROVIDER_ERROR")
    provider.answers(Scripted([b"{"], cut=True))
    chat(alice)
    post(alice, run, "complete", {})
    receipts = receipts_of(alice)
    assert len(receipts) == 8
    assert log_size(alice) == 8 + 3
    found = check_rollups(alice.tenant)
    assert found["verdict"] == "EQUAL"
    assert found["inferences"] == 8
    costs = exact(alice.get("/v1/costs"))
    cents = [Decimal(it["cost"].get("cents", "0")) for it in receipts]
    assert costs["totals"]["cost_cents"] == sum(cents)
    assert costs["totals"]["failed"] == 4
    outcomes = [receipt["outcome"] for receipt in receipts]
    assert outcomes.count("completed") == 4
    rows = UsageDay.objects.filter(tenant=alice.tenant)
    assert sum(row.failed for row in rows) == 4
    assert sum(row.calls for row in rows) == 8
    assert sum(row.unpriced for row in rows) == 1
