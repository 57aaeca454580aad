import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrations.counting import root_over
from orchestrations.models import Inference, Price
from receipts.fsck import check_log
from receipts.merkle import ProofError, leaf_hash, verify_inclusion
from receipts.verifier import Verdict
from tenants.models import Mode
from tests.caller import Caller
from tests.conftest import new_caller, new_tenant
from tests.orchestrations.runs import (
    AGENT,
    CALL,
    encode,
    exact,
    get,
    post,
    record,
    start,
)
from tests.receipts.auditor import audit, fetch, log_size, receipt_path
from tests.receipts.tampering import log_row

MAX_INTEGER = 2**53 - 1
HASH = "ab" * 32
COUNTS = ["prompt_tokens", "completion_tokens", "latency_ms", "sequence"]
HASHES = ["input_hash", "output_hash"]
OPTIONAL_TEXTS = ["agent_id", "step_name", "request_id", "inference_id"]
PATHS = ["inferences", "llm-inference"]
# What the catalogue and nobody knows.
LISTED = {"model": "claude-sonnet-4-6", "provider": "anthropic"}
UNLISTED = {"model": "nobody-knows", "provider": "custom"}
UNSAID = {"cost_cents": None}
BODY = {
    *("schema_version", "receipt_type", "run_id", "timestamp", "issued_at"),
    *("orchestration_id", "agent_id", "model", "provider", "observed", "usage"),
    *("cost", "latency_ms", "reported"),
}
SEAL = {
    *("receipt_hash", "receipt_signature"),
    *("signer_pubkey", "signer_kid", "signer_type"),
}
EXTRAS = {"receipt_id", "_mmr_leaf_index", "anchor"}
MEMBERS = {
    *("success", "inference_id", "orchestration_id", "agent_id", "step_name"),
    *("sequence", "model", "provider", "prompt_tokens", "completion_tokens", "usage"),
    *("usage_contradictions", "latency_ms", "cost_cents", "cost_source"),
    *("list_price_cents", "request_id", "input_hash", "output_hash", "observed"),
    *("started_at", "recorded_at", "receipt_id", "receipt_hash"),
}


@pytest.fixture
def alice_test(acme) -> Caller:
    """Alice with a key for test data."""
    return new_caller(acme, mode=Mode.TEST)


@pytest.fixture
def run(alice) -> str:
    return start(alice)


def without(name):
    return {member: value for member, value in CALL.items() if member != name}


def with_literal(name, literal):
    """A call with a member spelled exactly so."""
    return (json.dumps(without(name))[:-1] + f', "{name}": {literal}}}').encode()


def assert_refused(answer, status, code):
    assert answer.status_code == status, answer.content
    assert answer.json()["error_code"] == code
    return answer.json()


def refusal(answer):
    """The details of a 400."""
    return assert_refused(answer, 400, "INVALID_REQUEST")["details"]


def batch(caller, run, calls):
    answer = post(caller, run, "inferences/batch", {"inferences": calls})
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"success", "results"}
    return exact(answer)["results"]


def receipt_of(caller, name):
    return caller.get(f"/v1/inferences/{name}").json()["receipt"]


def listed(caller, run, query=""):
    return exact(caller.get(f"/v1/orchestrations/{run}/inferences?{query}"))


def set_price(tenant, **rates):
    price = Price(
        tenant=tenant,
        **UNLISTED,
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        **{"input_rate": 2, "output_rate": 10} | rates,
    )
    price.full_clean()
    price.save()
    return price


class TestTheAnswer:
    @pytest.mark.parametrize("path", PATHS)
    def test_it_is_201_and_has_these_members(self, alice, run, path):
        answer = post(alice, run, path, CALL)
        assert answer.status_code == 201
        assert answer["Content-Type"] == "application/json"
        assert answer.json().keys() == MEMBERS

    def test_it_repeats_what_was_claimed(self, alice, run):
        texts = {name: f"{name}-1" for name in OPTIONAL_TEXTS}
        claims = CALL | texts | dict.fromkeys(HASHES, HASH) | {"sequence": 7}
        answer = record(alice, run, **claims)
        assert claims.items() <= answer.items()
        assert answer["orchestration_id"] == run
        assert answer["observed"] == "reported"

    def test_it_is_what_is_listed_and_read_back(self, alice, run):
        answer = record(alice, run, usage={"input_tokens": 42, "output_tokens": 128})
        del answer["success"]
        assert listed(alice, run)["inferences"] == [answer]
        found = exact(alice.get(f"/v1/inferences/{answer['inference_id']}"))
        assert answer.items() <= found.items()
        assert found.keys() == {*answer, "success", "receipt"}

    def test_an_id_is_made_where_none_is_given(self, alice, run):
        ids = {record(alice, run)["inference_id"] for _ in range(3)}
        assert len(ids) == 3
        assert all(len(name) <= 200 for name in ids)

    def test_the_agent_is_the_run_s_unless_another_is_named(self, alice, run):
        assert record(alice, run)["agent_id"] == AGENT
        assert record(alice, run, agent_id="")["agent_id"] == AGENT
        assert record(alice, run, agent_id="other")["agent_id"] == "other"

    def test_times_are_iso_8_601_in_utc(self, alice, run):
        answer = record(alice, run, started_at="2026-01-01T12:00:00.75+02:00")
        assert answer["started_at"] == "2026-01-01T10:00:00Z"
        recorded = datetime.fromisoformat(answer["recorded_at"])
        assert answer["recorded_at"].endswith("Z")
        assert abs(datetime.now(UTC) - recorded) < timedelta(minutes=1)

    def test_it_ignores_what_it_does_not_know(self, alice, run):
        answer = record(alice, run, unknown={"a": "\0"}, receipt_id="x", observed="w")
        assert answer["observed"] == "reported"
        assert UUID(answer["receipt_id"]).version == 7

    def test_it_costs_django_no_query_once_the_run_is_known(
        self, alice, run, django_assert_num_queries
    ):
        if connection.vendor != "postgresql":
            pytest.skip("on SQLite the ledger has no connection of its own")
        record(alice, run)
        with django_assert_num_queries(0):
            record(alice, run)


class TestTheReceipt:
    def test_it_has_body_seal_and_extras_and_nothing_else(self, alice, run):
        receipt = receipt_of(alice, record(alice, run)["inference_id"])
        assert receipt.keys() == BODY | SEAL | EXTRAS
        assert receipt["receipt_type"] == "inference"
        assert receipt["observed"] == "reported"
        assert receipt["orchestration_id"] == run
        cost = receipt["cost"]
        assert (cost["source"], cost["cents"]) == ("agent_reported", "0.25")
        assert cost["list_price_cents"] == "0.2046"
        assert cost["list_price_buckets"] == {"input": "0.0126", "output": "0.192"}
        assert receipt["reported"] == {
            "prompt_tokens": 42,
            "completion_tokens": 128,
            "cost_cents": "0.25",
        }

    def test_it_has_every_optional_claim(self, alice, run):
        usage = {"input_tokens": 42, "output_tokens": 128, "service_tier": "x"}
        name = record(
            alice,
            run,
            usage=usage,
            step_name="s",
            request_id="r",
            sequence=0,
            input_hash=HASH.upper(),
            output_hash=HASH,
            started_at="2026-01-01T00:00:00Z",
        )["inference_id"]
        receipt = receipt_of(alice, name)
        more = {"step_name", "request_id", "sequence", *HASHES}
        assert receipt.keys() == BODY | SEAL | EXTRAS | more
        assert receipt["reported"]["usage"] == usage
        assert receipt["input_hash"] == HASH
        assert receipt["timestamp"] == 1_767_225_600

    def test_it_leaves_out_what_nobody_claimed(self, alice, run):
        bare = {n: None for n in CALL if n not in {"model", "provider"}}
        receipt = receipt_of(alice, record(alice, run, **bare)["inference_id"])
        assert receipt.keys() == (BODY | SEAL | EXTRAS) - {"latency_ms", "reported"}
        assert receipt["usage"] == {}
        assert receipt["cost"] == {"source": "unpriced"}

    def test_it_is_in_the_log_and_verifies_offline(self, alice, run):
        names = [
            record(alice, run, inference_id=f"call-{i}")["inference_id"]
            for i in range(4)
        ]
        for name in names:
            assert audit(alice, name).verdict is Verdict.VALID
        assert log_size(alice) == 4
        assert check_log(log_row(alice).pk, lambda done: None) is None

    def test_it_is_found_among_all_receipts(self, alice, run):
        answer = record(alice, run)
        found = fetch(alice, receipt_path(answer["receipt_id"]))["receipt"]
        assert found == receipt_of(alice, answer["inference_id"])
        page = fetch(alice, f"/v1/receipts?orchestration_id={run}")
        assert page["receipts"] == [found]

    def test_too_large_a_one_is_refused(self, alice, run):
        usage = {"input_tokens": 1, "x": "y" * (64 << 10)}
        answer = post(alice, run, "inferences", CALL | {"usage": usage})
        assert [*refusal(answer)] == ["usage"]
        usage["x"] = "y" * ((64 << 10) - 200)
        answer = post(alice, run, "inferences", CALL | {"usage": usage})
        assert [*refusal(answer)] == ["usage"]
        assert log_size(alice) == 0


class TestCounts:
    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize("value", [0, 1, 10**15])
    def test_they_are_integers(self, alice, run, name, value):
        assert record(alice, run, **{name: value})[name] == value

    @pytest.mark.parametrize("name", ["latency_ms", "sequence"])
    def test_what_is_not_summed_in_a_receipt_goes_up_to_2_to_the_53(
        self, alice, run, name
    ):
        assert record(alice, run, **{name: MAX_INTEGER})[name] == MAX_INTEGER

    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize(
        "literal",
        [
            *("-1", "9007199254740992", "42.0", "42.5", "1e3", "-0.0", '"42"', '""'),
            *("true", "false", "[]", "[42]", "{}", "18446744073709551616"),
        ],
    )
    def test_they_are_nothing_else(self, alice, run, name, literal):
        answer = post(alice, run, "inferences", with_literal(name, literal))
        assert [*refusal(answer)] == [name]
        assert log_size(alice) == 0

    @pytest.mark.parametrize("name", ["latency_ms", "sequence"])
    def test_null_is_as_good_as_absent(self, alice, run, name):
        assert record(alice, run, **{name: None})[name] is None

    def test_without_a_word_about_tokens_there_are_none(self, alice, run):
        told = {"prompt_tokens": None, "completion_tokens": None}
        answer = record(alice, run, **told)
        assert {name: answer[name] for name in told} == told

    def test_of_one_kind_of_tokens_alone_the_other_is_nought(self, alice, run):
        assert record(alice, run, prompt_tokens=None)["prompt_tokens"] == 0
        assert record(alice, run, completion_tokens=None)["completion_tokens"] == 0

    def test_a_run_counts_no_more_tokens_than_its_receipt_can_say(self, alice, run):
        told = {"prompt_tokens": MAX_INTEGER - 10, "completion_tokens": 5}
        record(alice, run, inference_id="large", **told)
        answer = post(alice, run, "inferences", CALL)
        assert [*refusal(answer)] == ["body"]
        results = batch(
            alice,
            run,
            [
                CALL,
                CALL | {"prompt_tokens": 5, "completion_tokens": 0},
                CALL | told | {"inference_id": "large"},
                CALL | {"prompt_tokens": 1, "completion_tokens": 0},
            ],
        )
        assert [result["status"] for result in results] == [400, 201, 200, 400]
        assert get(alice, run)["total_tokens"] == MAX_INTEGER
        ended = post(alice, run, "complete", {})
        assert ended.status_code == 200
        assert audit(alice, ended.json()["receipt_id"]).verdict is Verdict.VALID


class TestTexts:
    @pytest.mark.parametrize("name", ["model", "provider"])
    @pytest.mark.parametrize("value", [None, "", 7, True, ["a"], {}, "a\0b", "a\nb"])
    def test_the_required_ones_are_text(self, alice, run, name, value):
        answer = post(alice, run, "inferences", CALL | {name: value})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", ["model", "provider"])
    def test_the_required_ones_are_required(self, alice, run, name):
        answer = post(alice, run, "inferences", without(name))
        assert refusal(answer) == {name: ["This field is required."]}

    @pytest.mark.parametrize("name", ["openai", "anthropic", "bedrock", "custom"])
    def test_these_providers_are_known(self, alice, run, name):
        assert record(alice, run, provider=name)["provider"] == name

    @pytest.mark.parametrize("name", ["azure", "OpenAI", "openai ", "aws"])
    def test_other_providers_are_not(self, alice, run, name):
        answer = post(alice, run, "inferences", CALL | {"provider": name})
        assert [*refusal(answer)] == ["provider"]

    @pytest.mark.parametrize("name", ["model", *OPTIONAL_TEXTS])
    def test_they_have_up_to_200_characters(self, alice, run, name):
        text = "\N{GRINNING FACE}" * 200
        assert record(alice, run, **{name: text})[name] == text
        answer = post(alice, run, "inferences", CALL | {name: text + "a"})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", OPTIONAL_TEXTS)
    @pytest.mark.parametrize("value", [7, True, ["a"], {"a": "b"}, "a\0b", "a\x85b"])
    def test_the_optional_ones_are_text_too(self, alice, run, name, value):
        answer = post(alice, run, "inferences", CALL | {name: value})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("value", ["a/b", ".", "..", "a\u200bb", "\u2028"])
    def test_an_inference_id_travels_in_paths(self, alice, run, value):
        answer = post(alice, run, "inferences", CALL | {"inference_id": value})
        assert [*refusal(answer)] == ["inference_id"]

    @pytest.mark.parametrize(
        "value", ["backfill:agent:2026-01-01", "a b%", "ü?#", "..."]
    )
    def test_it_is_found_by_whatever_id_it_was_given(self, alice, run, value):
        receipt = record(alice, run, inference_id=value)["receipt_id"]
        path = receipt_path(value).replace("receipts", "inferences")
        assert fetch(alice, path)["receipt_id"] == receipt
        assert fetch(alice, f"{path}/proof")["proof"]["tree_size"] == 1

    @pytest.mark.parametrize("name", HASHES)
    @pytest.mark.parametrize(
        "value", ["", "ab", "g" * 64, "a" * 63, "a" * 65, " " + "a" * 63, 7, ["a"]]
    )
    def test_a_hash_is_64_hex_digits(self, alice, run, name, value):
        answer = post(alice, run, "inferences", CALL | {name: value})
        assert [*refusal(answer)] == [name]

    @pytest.mark.parametrize("name", HASHES)
    def test_a_hash_is_shown_in_lower_case(self, alice, run, name):
        assert record(alice, run, **{name: HASH.upper()})[name] == HASH

    @pytest.mark.parametrize(
        "value",
        [
            *("", "x", "2026-01-01", "2026-01-01T00:00:00", 1_767_225_600, True),
            *("1969-12-31T23:59:59Z", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            "9999-12-31T23:59:59-12:00",
        ],
    )
    def test_a_start_has_a_zone_and_is_in_our_time(self, alice, run, value):
        answer = post(alice, run, "inferences", CALL | {"started_at": value})
        assert [*refusal(answer)] == ["started_at"]

    def test_every_bad_member_is_named(self, alice, run):
        bad = {"provider": "x", "sequence": -1, "cost_cents": -1, "input_hash": "x"}
        answer = post(alice, run, "inferences", CALL | bad)
        assert refusal(answer).keys() == bad.keys()

    @pytest.mark.parametrize("body", [b"[]", b"null", b"{", b"\xff", b'{"a":1,"a":2}'])
    def test_a_body_is_an_object_that_all_read_alike(self, alice, run, body):
        answer = post(alice, run, "inferences", body)
        assert [*refusal(answer)] in (["body"], ["a"])


class TestCosts:
    @pytest.mark.parametrize(
        "literal",
        [
            *("0", "0.000001", "0.1", "0.05439", "123456.654321", "1000000", "1.50"),
            *("0.30000", "999999.999999", "1000000.000000"),
        ],
    )
    def test_they_are_kept_to_the_last_digit(self, alice, run, literal):
        answer = exact(
            post(alice, run, "inferences", with_literal("cost_cents", literal))
        )
        assert answer["cost_cents"] == Decimal(literal)
        assert answer["cost_source"] == "agent_reported"
        assert Decimal(receipt_of(alice, answer["inference_id"])["cost"]["cents"]) == (
            Decimal(literal)
        )
        assert get(alice, run)["total_cost_cents"] == Decimal(literal)

    @pytest.mark.parametrize(
        "literal",
        [
            *("-1", "-0.5", "-0.0", "0.0000001", "0.1000000", "1e2", "1E-2", "1e400"),
            *("1000000.000001", "1000001", '"5"', '""', "true", "false", "[]", "{}"),
            *("9007199254740992", "1e-400"),
        ],
    )
    def test_it_refuses(self, alice, run, literal):
        answer = post(alice, run, "inferences", with_literal("cost_cents", literal))
        assert [*refusal(answer)] == ["cost_cents"]
        assert get(alice, run)["inference_count"] == 0

    @pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", ".5", "1."])
    def test_it_refuses_what_json_has_no_word_for(self, alice, run, literal):
        answer = post(alice, run, "inferences", with_literal("cost_cents", literal))
        assert [*refusal(answer)] == ["body"]

    def test_sums_that_would_no_longer_be_exact_are_refused(self, alice):
        dear = {"inferences": [CALL | {"cost_cents": 10**6}] * 1000}
        for _ in range(9):
            run = start(alice)
            assert post(alice, run, "inferences/batch", dear).status_code == 200
        run = start(alice)
        assert [*refusal(post(alice, run, "inferences/batch", dear))] == ["body"]
        assert get(alice, run)["inference_count"] == 0
        assert record(alice, run)["cost_cents"] == Decimal("0.25")

    # The database may be one for all examples: each is in a tenant of its own.
    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        st.lists(
            st.decimals(0, 10**6, places=6) | st.decimals(0, 1, places=6),
            min_size=1,
            max_size=30,
        )
    )
    def test_they_add_up_to_the_last_digit(self, database, costs):
        caller = new_caller(new_tenant("sums"))
        run = start(caller)
        alone, *others = [CALL | {"cost_cents": cost} for cost in costs]
        assert post(caller, run, "inferences", alone).status_code == 201
        if others:
            assert {result["status"] for result in batch(caller, run, others)} == {201}
        found = get(caller, run)
        assert found["total_cost_cents"] == sum(costs)
        post(caller, run, "complete", {})
        receipt = exact(caller.get(f"/v1/orchestrations/{run}/receipts"))
        assert Decimal(receipt["final_receipt"]["totals"]["cost_cents"]) == sum(costs)
        (item,) = exact(caller.get("/v1/orchestrations"))["orchestrations"]
        assert item["total_cost_cents"] == sum(costs)


class TestCostSources:
    def test_what_the_agent_says_goes_first(self, alice, run, acme):
        set_price(acme)
        answer = record(alice, run, **UNLISTED, cost_cents=7)
        assert (answer["cost_cents"], answer["cost_source"]) == (7, "agent_reported")
        assert answer["list_price_cents"] == Decimal("0.1364")  # 42 at $2, 128 at $10

    def test_it_may_say_that_it_was_free(self, alice, run):
        answer = record(alice, run, **LISTED, cost_cents=0)
        assert (answer["cost_cents"], answer["cost_source"]) == (0, "agent_reported")
        assert get(alice, run)["unpriced_count"] == 0

    def test_then_the_tenant_s_price(self, alice, run, acme):
        set_price(acme)
        answer = record(alice, run, **UNLISTED, **UNSAID)
        assert answer["cost_source"] == "tenant_price"
        assert answer["cost_cents"] == answer["list_price_cents"] == Decimal("0.1364")

    def test_then_the_catalogue(self, alice, run):
        answer = record(alice, run, **LISTED, **UNSAID)
        assert answer["cost_source"] == "catalogue"
        assert answer["cost_cents"] == Decimal("0.2046")  # 42 at $3, 128 at $15
        basis = receipt_of(alice, answer["inference_id"])["cost"]["list_price_basis"]
        assert basis.startswith("genai-prices ")

    def test_and_what_nobody_lists_is_unpriced_and_never_free(self, alice, run):
        answer = record(alice, run, **UNLISTED, **UNSAID)
        assert answer["cost_source"] == "unpriced"
        assert answer["cost_cents"] is answer["list_price_cents"] is None
        assert get(alice, run)["unpriced_count"] == 1
        assert Inference.objects.get(pk=answer["receipt_id"]).cost is None

    def test_a_call_of_no_tokens_known_is_unpriced(self, alice, run):
        nothing = {"prompt_tokens": None, "completion_tokens": None}
        answer = record(alice, run, **LISTED, **UNSAID, **nothing)
        assert (answer["cost_cents"], answer["cost_source"]) == (None, "unpriced")
        assert answer["usage"] == {}

    def test_a_call_of_no_tokens_at_all_is_free(self, alice, run):
        nothing = {"prompt_tokens": 0, "completion_tokens": 0}
        answer = record(alice, run, **LISTED, **UNSAID, **nothing)
        assert (answer["cost_cents"], answer["cost_source"]) == (0, "catalogue")

    def test_a_count_beyond_all_reason_is_unpriced(self, alice, run):
        answer = record(alice, run, **LISTED, **UNSAID, prompt_tokens=10**15)
        assert answer["cost_source"] == "unpriced"

    def test_the_price_is_of_the_time_of_the_call(self, alice, run, acme):
        set_price(acme)
        early = {"started_at": "2025-12-31T23:59:59Z"}
        assert record(alice, run, **UNLISTED, **UNSAID, **early)["cost_cents"] is None

    def test_another_tenant_s_price_is_not_ours(self, alice, run, charlie):
        set_price(charlie.tenant)
        assert record(alice, run, **UNLISTED, **UNSAID)["cost_source"] == "unpriced"

    def test_a_cache_is_not_counted_twice(self, alice, run):
        usage = {
            "input_tokens": 3,
            "cache_creation_input_tokens": 12_304,
            "cache_read_input_tokens": 0,
            "output_tokens": 550,
        }
        told = {"prompt_tokens": None, "completion_tokens": None, "usage": usage}
        answer = record(alice, run, **LISTED, **UNSAID, **told)
        assert answer["cost_cents"] == Decimal("5.4399")
        assert answer["prompt_tokens"] == 12_307
        assert answer["usage"]["cache_write_5m_tokens"] == 12_304
        assert get(alice, run)["total_tokens"] == 12_857


class TestContradictoryUsage:
    USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}

    def test_it_is_recorded_and_flagged_and_not_mended(self, alice, run):
        told = {"prompt_tokens": 10, "completion_tokens": 5, "provider": "openai"}
        answer = record(alice, run, usage=self.USAGE, **told)
        (sentence,) = answer["usage_contradictions"]
        assert "99" in sentence
        found = get(alice, run)
        assert (found["contradictory_count"], found["inference_count"]) == (1, 1)
        receipt = receipt_of(alice, answer["inference_id"])
        assert receipt["reported"]["usage"] == self.USAGE
        assert receipt["usage"]["contradictions"] == [sentence]
        assert audit(alice, answer["receipt_id"]).verdict is Verdict.VALID

    def test_claims_against_usage_are_a_contradiction(self, alice, run):
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        told = {"provider": "openai", "usage": usage}
        answer = record(alice, run, **told, completion_tokens=6, prompt_tokens=10)
        assert len(answer["usage_contradictions"]) == 1
        assert answer["completion_tokens"] == 6
        assert answer["usage"]["output_tokens"] == 5

    @pytest.mark.parametrize(
        "usage",
        [
            {"input_tokens": value}
            for value in (-1, 1.5, "1", True, [1], {"a": 1}, 1e25)
        ],
    )
    def test_no_usage_makes_it_fail(self, alice, run, usage):
        assert record(alice, run, usage=usage)["usage_contradictions"]

    @pytest.mark.parametrize("usage", ["x", 1, True, [], [{}]])
    def test_usage_is_an_object(self, alice, run, usage):
        answer = post(alice, run, "inferences", CALL | {"usage": usage})
        assert [*refusal(answer)] == ["usage"]

    def test_usage_has_no_nul(self, alice, run):
        answer = post(alice, run, "inferences", CALL | {"usage": {"a": ["\0"]}})
        assert [*refusal(answer)] == ["usage"]

    def test_consistent_usage_is_not_flagged(self, alice, run):
        record(alice, run, usage={"input_tokens": 42, "output_tokens": 128})
        assert get(alice, run)["contradictory_count"] == 0


class TestWhereThereIsNoRun:
    @pytest.mark.parametrize("path", [*PATHS, "inferences/batch"])
    def test_of_that_name_tenant_or_mode_it_is_404(
        self, alice, alice_test, charlie, run, path
    ):
        body = CALL | {"inferences": [CALL]}
        record(alice, run)  # so that the run is remembered
        for caller, name in (
            (alice, "maip-orch:1"),
            (charlie, run),
            (alice_test, run),
        ):
            assert_refused(post(caller, name, path, body), 404, "NOT_FOUND")
            assert log_size(caller) == (1 if caller is alice else 0)
        assert get(alice, run)["inference_count"] == 1

    @pytest.mark.parametrize("path", ["inferences", "receipts"])
    def test_there_is_nothing_to_list(self, alice, alice_test, charlie, run, path):
        for caller, name in ((alice, "x"), (charlie, run), (alice_test, run)):
            answer = caller.get(f"/v1/orchestrations/{name}/{path}")
            assert_refused(answer, 404, "NOT_FOUND")

    @pytest.mark.parametrize("path", ["", "/proof"])
    def test_nobody_else_finds_an_inference(
        self, alice, alice_test, charlie, run, path
    ):
        answer = record(alice, run)
        for name in (answer["inference_id"], answer["receipt_id"]):
            assert alice.get(f"/v1/inferences/{name}{path}").status_code == 200
            for outsider in (alice_test, charlie):
                found = outsider.get(f"/v1/inferences/{name}{path}")
                assert_refused(found, 404, "NOT_FOUND")

    @pytest.mark.parametrize("path", ["", "/proof"])
    def test_what_is_no_inference_is_404(self, alice, run, path):
        alice.record(run_id="run-1")
        final = post(alice, run, "complete", {}).json()["receipt_id"]
        for name in ("run-1", final, "nothing"):
            found = alice.get(f"/v1/inferences/{name}{path}")
            assert_refused(found, 404, "NOT_FOUND")

    @pytest.mark.parametrize("path", [*PATHS, "inferences/batch", "steps"])
    def test_recording_needs_orchestrations_write(self, acme, run, path):
        reader = new_caller(acme, ("orchestrations:read", "receipts:*"))
        answer = post(reader, run, path, CALL)
        refused = assert_refused(answer, 403, "INSUFFICIENT_SCOPE")
        assert refused["details"] == {"scope": ["orchestrations:write"]}

    @pytest.mark.parametrize("path", ["", "/proof"])
    def test_reading_needs_orchestrations_read(self, alice, acme, run, path):
        name = record(alice, run)["inference_id"]
        writer = new_caller(acme, ("orchestrations:write", "receipts:*"))
        refused = writer.get(f"/v1/inferences/{name}{path}")
        assert refused.json()["details"] == {"scope": ["orchestrations:read"]}


class TestARepeatedInferenceId:
    def test_answers_the_same_with_200(self, alice, run):
        first = post(alice, run, "inferences", CALL | {"inference_id": "i"})
        again = post(alice, run, "inferences", CALL | {"inference_id": "i"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert exact(again) == exact(first)
        assert get(alice, run)["inference_count"] == log_size(alice) == 1

    def test_after_the_end_too(self, alice, run):
        first = record(alice, run, inference_id="i")
        post(alice, run, "complete", {})
        again = post(alice, run, "inferences", CALL | {"inference_id": "i"})
        assert again.status_code == 200
        assert exact(again) == first
        (result,) = batch(alice, run, [CALL | {"inference_id": "i"}])
        assert result["status"] == 200

    def test_after_the_end_a_conflict_is_still_one(self, alice, run):
        record(alice, run, inference_id="i")
        post(alice, run, "complete", {})
        other = CALL | {"inference_id": "i", "latency_ms": 1}
        assert_refused(post(alice, run, "inferences", other), 409, "RUN_ID_CONFLICT")

    def test_with_prices_changed_meanwhile(self, alice, run, acme):
        call = CALL | UNLISTED | UNSAID | {"inference_id": "i"}
        first = record(alice, run, **call)
        set_price(acme)
        again = post(alice, run, "inferences", call)
        assert again.status_code == 200
        assert exact(again) == first
        assert get(alice, run)["unpriced_count"] == 1

    @pytest.mark.parametrize(
        "repeat",
        [
            {"input_hash": HASH.upper()},
            {"step_name": ""},
            {"agent_id": AGENT},
            {"agent_id": None},
            {"unknown": 1},
            {"cost_cents": Decimal("0.250000")},
            {"sequence": None},
        ],
    )
    def test_in_another_spelling_is_the_same(self, alice, run, repeat):
        call = {"inference_id": "i", "input_hash": HASH}
        first = record(alice, run, **call)
        again = post(alice, run, "inferences", CALL | call | repeat)
        assert again.status_code == 200, again.content
        assert exact(again) == first

    @pytest.mark.parametrize(
        "other",
        [
            {"model": "other"},
            {"provider": "custom"},
            {"prompt_tokens": 43},
            {"prompt_tokens": None},
            {"cost_cents": Decimal("0.250001")},
            {"cost_cents": None},
            {"usage": {}},
            {"agent_id": "other"},
            {"sequence": 0},
            {"started_at": "2026-01-01T00:00:00Z"},
        ],
    )
    def test_with_other_content_is_a_conflict(self, alice, run, other):
        record(alice, run, inference_id="i")
        answer = post(alice, run, "inferences", CALL | {"inference_id": "i"} | other)
        refused = assert_refused(answer, 409, "RUN_ID_CONFLICT")
        assert [*refused["details"]] == ["inference_id"]
        assert get(alice, run)["inference_count"] == log_size(alice) == 1

    def test_in_another_run_is_a_conflict(self, alice, run):
        record(alice, run, inference_id="i")
        other = start(alice)
        answer = post(alice, other, "inferences", CALL | {"inference_id": "i"})
        assert_refused(answer, 409, "RUN_ID_CONFLICT")
        assert get(alice, other)["inference_count"] == 0

    def test_of_another_kind_of_receipt_is_a_conflict(self, alice, run):
        alice.record(run_id="i")
        answer = post(alice, run, "inferences", CALL | {"inference_id": "i"})
        assert_refused(answer, 409, "RUN_ID_CONFLICT")

    def test_in_another_tenant_or_mode_is_another(self, alice, alice_test, charlie):
        for caller in (alice, alice_test, charlie):
            record(caller, start(caller), inference_id="i")

    def test_an_idempotency_key_repeats_the_first_answer(self, alice, run):
        path = f"/v1/orchestrations/{run}/inferences"
        first = alice.post(path, CALL, Idempotency_Key="k")
        again = alice.post(path, CALL, Idempotency_Key="k")
        assert again.status_code == first.status_code == 201
        assert again.content == first.content
        assert again["Idempotent-Replayed"] == "true"
        other = alice.post(path, CALL | {"latency_ms": 1}, Idempotency_Key="k")
        assert_refused(other, 409, "IDEMPOTENCY_CONFLICT")
        assert get(alice, run)["inference_count"] == 1


class TestBatches:
    def test_results_are_in_the_order_given(self, alice, run):
        results = batch(
            alice, run, [CALL | {"inference_id": f"i{n}"} for n in (3, 1, 2)]
        )
        assert [result["status"] for result in results] == [201] * 3
        names = [result["inference"]["inference_id"] for result in results]
        assert names == ["i3", "i1", "i2"]

    def test_its_inferences_are_those_of_single_ones(self, alice, run):
        single = record(alice, run, inference_id="i")
        (result,) = batch(alice, run, [CALL])
        assert result.keys() == {"status", "inference"}
        assert {"success", *result["inference"]} == single.keys()
        found = listed(alice, run)["inferences"]
        assert found[0] == result["inference"]

    def test_bad_members_do_not_fail_the_others(self, alice, run):
        large = {"input_tokens": 1, "x": "y" * 65_400}
        results = batch(
            alice,
            run,
            [
                CALL,
                {},
                CALL | {"cost_cents": -1},
                None,
                [],
                CALL | {"inference_id": "a/b"},
                CALL | {"usage": large},
                CALL | {"started_at": "2999-01-01T00:00:00Z"},
                CALL,
            ],
        )
        statuses = [result["status"] for result in results]
        assert statuses == [201, *[400] * 7, 201]
        fields = [[*r["error"]["details"]] for r in results if r["status"] == 400]
        assert fields == [
            ["model", "provider"],
            ["cost_cents"],
            ["body"],
            ["body"],
            ["inference_id"],
            ["usage"],
            ["started_at"],
        ]
        assert get(alice, run)["inference_count"] == log_size(alice) == 2

    def test_an_error_is_the_error_body(self, alice, run):
        body = {"inferences": [CALL | {"provider": "x"}]}
        answer = post(alice, run, "inferences/batch", body)
        (result,) = answer.json()["results"]
        single = post(alice, run, "inferences", CALL | {"provider": "x"}).json()
        assert result["error"].pop("request_id") == answer["X-Request-ID"]
        del single["request_id"]
        assert result == {"status": 400, "error": single}

    def test_all_may_be_bad(self, alice, run):
        assert [r["status"] for r in batch(alice, run, [{}, []])] == [400, 400]
        assert log_size(alice) == 0

    def test_what_is_repeated_within_is_one(self, alice, run):
        call = CALL | {"inference_id": "i"}
        results = batch(alice, run, [call, CALL, call, call | {"latency_ms": 1}])
        assert [result["status"] for result in results] == [201, 201, 200, 409]
        assert results[2]["inference"] == results[0]["inference"]
        assert results[3]["error"]["error_code"] == "RUN_ID_CONFLICT"
        found = get(alice, run)
        assert found["inference_count"] == log_size(alice) == 2
        assert found["total_cost_cents"] == Decimal("0.5")

    def test_what_was_recorded_before_is_answered_again(self, alice, run):
        first = record(alice, run, inference_id="i")
        del first["success"]
        results = batch(alice, run, [CALL, CALL | {"inference_id": "i"}])
        assert [result["status"] for result in results] == [201, 200]
        assert results[1]["inference"] == first

    def test_a_budget_passed_in_the_middle_refuses_the_rest(self, alice):
        run = start(alice, budget_cents=0.75)
        calls = [CALL | {"inference_id": f"i{n}"} for n in range(5)]
        results = batch(alice, run, [*calls, calls[0]])
        statuses = [result["status"] for result in results]
        assert statuses == [201, 201, 201, 429, 429, 200]
        assert results[3]["error"]["error_code"] == "BUDGET_EXCEEDED"
        assert get(alice, run)["inference_count"] == log_size(alice) == 3

    def test_a_thousand_are_taken(self, alice, run):
        calls = [{"model": "m", "provider": "custom"}] * 1000
        assert {r["status"] for r in batch(alice, run, calls)} == {201}
        assert get(alice, run)["unpriced_count"] == 1000
        assert check_log(log_row(alice).pk, lambda done: None) is None

    @pytest.mark.parametrize(
        "members", [[{}] * 1001, [], None, {}, "x", 1], ids=lambda m: str(m)[:10]
    )
    def test_what_is_no_batch_is_400(self, alice, run, members):
        answer = post(alice, run, "inferences/batch", {"inferences": members})
        assert [*refusal(answer)] == ["inferences"]

    def test_it_may_have_an_idempotency_key(self, alice, run):
        path = f"/v1/orchestrations/{run}/inferences/batch"
        body = encode({"inferences": [CALL, {}]})
        first = alice.post(path, body, Idempotency_Key="k")
        again = alice.post(path, body, Idempotency_Key="k")
        assert again.content == first.content
        assert again["Idempotent-Replayed"] == "true"
        assert get(alice, run)["inference_count"] == 1


class TestSequences:
    def test_without_counters_nothing_is_said(self, alice, run):
        record(alice, run)
        assert get(alice, run)["sequence"] is None

    @pytest.mark.parametrize(
        ("numbers", "missing", "gaps", "duplicates"),
        [
            ([1, 2, 3], 0, [], []),
            ([0, 1, 2], 0, [], []),
            ([3, 1, 2], 0, [], []),
            ([0], 0, [], []),
            ([1], 0, [], []),
            ([5], 4, [[1, 4]], []),
            ([1, 3, 4, 9], 5, [[2, 2], [5, 8]], []),
            ([1, 2, 2, 2, 5, 5], 2, [[3, 4]], [2, 5]),
            ([0, 0], 0, [], [0]),
            ([1, MAX_INTEGER], MAX_INTEGER - 2, [[2, MAX_INTEGER - 1]], []),
        ],
    )
    def test_gaps_and_duplicates_show(
        self, alice, run, numbers, missing, gaps, duplicates
    ):
        batch(alice, run, [CALL | {"sequence": number} for number in numbers])
        record(alice, run)  # uncounted
        assert get(alice, run)["sequence"] == {
            "first": min(numbers),
            "last": max(numbers),
            "missing": missing,
            "gaps": gaps,
            "duplicates": duplicates,
        }

    def test_they_are_of_one_run(self, alice, run):
        other = start(alice)
        record(alice, run, sequence=1)
        record(alice, other, sequence=2)
        record(alice, run, sequence=3)
        assert get(alice, run)["sequence"]["gaps"] == [[2, 2]]


class TestTheList:
    def test_pages_are_newest_first_and_follow_each_other(self, alice, run):
        other = start(alice)
        names = []
        for number in range(7):
            names.append(record(alice, run, inference_id=f"i{number}")["inference_id"])
            record(alice, other)
        seen, query = [], "limit=3"
        while query:
            page = listed(alice, run, query)
            seen.append([item["inference_id"] for item in page["inferences"]])
            query = page["next_cursor"] and f"limit=3&cursor={page['next_cursor']}"
        names.reverse()
        assert seen == [names[:3], names[3:6], names[6:]]

    def test_a_full_page_costs_no_more_queries_than_a_short_one(
        self, alice, run, django_assert_max_num_queries
    ):
        batch(alice, run, [CALL] * 20)
        listed(alice, run)
        with django_assert_max_num_queries(5):
            assert len(listed(alice, run)["inferences"]) == 20

    @pytest.mark.parametrize("path", ["inferences", "receipts"])
    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "cursor="])
    def test_what_a_query_cannot_mean_is_400(self, alice, run, path, query):
        answer = alice.get(f"/v1/orchestrations/{run}/{path}?{query}")
        assert [*refusal(answer)] == [query.partition("=")[0]]

    def test_it_is_found_by_either_id(self, alice, run):
        answer = record(alice, run)
        by_id, by_receipt = (
            alice.get(f"/v1/inferences/{answer[name]}").json()
            for name in ("inference_id", "receipt_id")
        )
        assert by_id == by_receipt


class TestBeingCounted:
    def prove(self, caller, name):
        answer = caller.get(f"/v1/inferences/{name}/proof")
        assert answer.status_code == 200, answer.content
        return answer.json()["proof"]

    def verify(self, proof, root, size):
        verify_inclusion(
            proof["leaf_index"],
            size,
            leaf_hash(bytes.fromhex(proof["receipt_hash"])),
            [bytes.fromhex(item) for item in proof["proof"]],
            root,
        )

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9])
    def test_each_call_is_proven_against_the_final_receipt(self, alice, run, size):
        calls = batch(alice, run, [CALL] * size)
        alice.record()  # the log holds other receipts too
        final = post(alice, run, "complete", {}).json()
        page = fetch(alice, f"/v1/orchestrations/{run}/receipts")
        counted = page["final_receipt"]["inferences"]
        root = bytes.fromhex(counted["root"])
        hashes = [bytes.fromhex(r["receipt_hash"]) for r in page["receipts"]]
        assert root_over(hashes) == root
        for index, call in enumerate(calls):
            proof = self.prove(alice, call["inference"]["inference_id"])
            assert proof["leaf_index"] == index
            assert proof["tree_size"] == counted["count"] == size
            assert proof["receipt_hash"] == call["inference"]["receipt_hash"]
            assert proof["root"] == counted["root"]
            assert proof["final_receipt_id"] == final["receipt_id"]
            self.verify(proof, root, size)

    def test_a_call_of_another_run_is_not_proven(self, alice, run):
        other = start(alice)
        batch(alice, run, [CALL] * 3)
        batch(alice, other, [CALL] * 3)
        name = listed(alice, other)["inferences"][1]["inference_id"]
        post(alice, run, "complete", {})
        page = fetch(alice, f"/v1/orchestrations/{run}/receipts")
        root = bytes.fromhex(page["final_receipt"]["inferences"]["root"])
        proof = self.prove(alice, name)
        assert proof["orchestration_id"] == other
        with pytest.raises(ProofError):
            self.verify(proof, root, 3)

    def test_while_it_runs_the_root_is_that_of_the_run(self, alice, run):
        batch(alice, run, [CALL] * 3)
        name = record(alice, run)["inference_id"]
        proof = self.prove(alice, name)
        assert proof["final_receipt_id"] is None
        inferences = get(alice, run)["inferences"]
        assert inferences == {"count": 4, "root": proof["root"]}
        self.verify(proof, bytes.fromhex(inferences["root"]), 4)
