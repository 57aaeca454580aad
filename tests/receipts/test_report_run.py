import base64
import hashlib
import json
import re
import time
from typing import Any
from uuid import UUID

import pytest

from receipts import canonical, ed25519
from receipts.claims import MAX_ATTESTATION
from receipts.merkle import leaf_hash, verify_inclusion
from receipts.models import Receipt
from receipts.verifier import Verdict, split
from tests.caller import RUN
from tests.receipts.auditor import (
    audit,
    entry_of,
    fetch,
    log_size,
    read_checkpoint,
    receipt_path,
    vkey,
)

MAX_INTEGER = 2**53 - 1
DAY = 86_400
HASH = RUN["policy_hash"]
PASSPORTS = ["model_passport_id", "compute_passport_id"]
REQUIRED_COUNTS = ["tokens_in", "tokens_out", "ttft_ms"]
COUNTS = [*REQUIRED_COUNTS, "total_latency_ms"]
OPTIONAL_TEXTS = [
    "trace_id",
    "image_hash",
    "model_hash",
    "execution_mode",
    "node_id",
    "runtime_hash",
    "gpu_fingerprint",
]
CONTROLS = ["a\x00b", "a\nb", "a\x1fb", "a\x7fb", "a\x85b"]
BODY = {
    *("schema_version", "receipt_type", "run_id", "timestamp", "issued_at"),
    *("model_passport_id", "compute_passport_id", "policy_hash", "runtime", "metrics"),
}
SEAL = {
    *("receipt_hash", "receipt_signature"),
    *("signer_pubkey", "signer_kid", "signer_type"),
}
EXTRAS = {"receipt_id", "_mmr_leaf_index", "anchor"}


def without(name):
    return {member: value for member, value in RUN.items() if member != name}


def refusal(answer):
    """The details of a 400."""
    assert answer.status_code == 400, answer.content
    assert answer.json()["error_code"] == "INVALID_REQUEST"
    return answer.json()["details"]


def metric(receipt, name):
    return receipt["metrics"][name]


class TestTheAnswer:
    def test_it_is_200_and_json(self, alice):
        # Lucid's SDK takes 201 for a failure.
        answer = alice.post("/v1/receipts", RUN)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"

    def test_it_has_body_seal_and_extras_and_nothing_else(self, alice):
        answer = alice.post("/v1/receipts", RUN).json()
        assert answer.keys() == {"success", "receipt"}
        assert answer["success"] is True
        assert answer["receipt"].keys() == BODY | SEAL | EXTRAS

    def test_it_repeats_what_was_claimed(self, alice):
        receipt = alice.record()
        claims = {n: v for n, v in RUN.items() if n not in REQUIRED_COUNTS}
        assert claims.items() <= receipt.items()
        assert receipt["metrics"] == {"tokens_in": 42, "tokens_out": 128, "ttft_ms": 85}

    def test_it_has_every_optional_claim(self, alice):
        claims = {name: f"{name}-1" for name in OPTIONAL_TEXTS}
        receipt = alice.record(
            **claims, attestation={"quote": "AAAA"}, total_latency_ms=1240
        )
        assert receipt.keys() == BODY | SEAL | EXTRAS | {*OPTIONAL_TEXTS, "attestation"}
        assert claims.items() <= receipt.items()
        assert metric(receipt, "total_latency_ms") == 1240

    def test_it_names_schema_type_and_signer_type(self, alice):
        receipt = alice.record()
        assert receipt["schema_version"] == "1.0"
        assert receipt["receipt_type"] == "compute"
        assert receipt["signer_type"] == "orchestrator"
        assert receipt["anchor"] is None

    def test_the_receipt_id_is_a_uuid_of_version_7(self, alice):
        assert UUID(alice.record()["receipt_id"]).version == 7

    def test_leaf_indexes_count_up_from_nought(self, alice):
        assert [alice.record()["_mmr_leaf_index"] for _ in range(3)] == [0, 1, 2]

    def test_each_key_mode_has_a_log_of_its_own(self, alice, alice_test):
        alice.record()
        assert alice_test.record()["_mmr_leaf_index"] == 0
        assert log_size(alice) == 1

    def test_what_is_stored_is_what_was_answered(self, alice):
        receipt = alice.record(attestation={"b": [1.5, None, {"ü": "\x00"}]})
        assert fetch(alice, receipt_path(receipt["run_id"]))["receipt"] == receipt

    def test_it_says_what_the_hash_and_signature_are_of(self, alice):
        receipt = alice.record()
        digest = hashlib.sha256(canonical.dumps(split(receipt)[1])).digest()
        public_key = bytes.fromhex(fetch(alice, "/v1/signer/pubkey")["pubkey_hex"])
        assert receipt["receipt_hash"] == digest.hex()
        signature = bytes.fromhex(receipt["receipt_signature"])
        assert ed25519.verify(public_key, digest, signature)

    def test_a_verifier_with_the_log_key_alone_finds_it_valid(self, alice):
        for number in range(5):
            alice.record(run_id=f"run-{number}")
        for number in range(5):
            assert audit(alice, f"run-{number}").verdict is Verdict.VALID

    def test_it_is_covered_by_a_signed_checkpoint_once_it_is_answered(self, alice):
        receipt = alice.record()
        text = alice.get(f"/log/{alice.tenant.slug}/checkpoint").content
        head = read_checkpoint(text, vkey(alice))
        leaf = leaf_hash(entry_of(receipt))
        verify_inclusion(0, 1, leaf, [], head.root)

    def test_it_costs_django_no_query_once_the_key_is_known(
        self, alice, django_assert_num_queries, on_postgresql
    ):
        if not on_postgresql:
            pytest.skip("on SQLite the ledger has no connection of its own")
        alice.record()
        with django_assert_num_queries(0):
            alice.record()


class TestCounts:
    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize("value", [0, 1, MAX_INTEGER])
    def test_it_takes_integers_up_to_2_to_the_53(self, alice, name, value):
        assert metric(alice.record(**{name: value}), name) == value

    @pytest.mark.parametrize("name", COUNTS)
    @pytest.mark.parametrize(
        "literal",
        [
            *("-1", "9007199254740992", "42.0", "42.5", "1e3", "-0.0", '"42"', '""'),
            *("true", "false", "[]", "[42]", "{}", "18446744073709551616"),
        ],
    )
    def test_it_refuses(self, alice, name, literal):
        body = json.dumps(without(name))[:-1] + f', "{name}": {literal}}}'
        assert [*refusal(alice.post("/v1/receipts", body.encode()))] == [name]

    @pytest.mark.parametrize("name", REQUIRED_COUNTS)
    def test_it_refuses_null(self, alice, name):
        assert [*refusal(alice.post("/v1/receipts", RUN | {name: None}))] == [name]

    @pytest.mark.parametrize("claims", [{}, {"total_latency_ms": None}])
    def test_a_latency_that_is_not_claimed_is_left_out(self, alice, claims):
        assert "total_latency_ms" not in alice.record(**claims)["metrics"]


class TestRequiredTexts:
    @pytest.mark.parametrize("name", RUN)
    def test_it_refuses_their_absence(self, alice, name):
        assert refusal(alice.post("/v1/receipts", without(name))) == {
            name: ["This field is required."]
        }

    @pytest.mark.parametrize("name", [*PASSPORTS, "runtime", "policy_hash"])
    @pytest.mark.parametrize("value", [None, "", 7, True, ["a"], {"a": "b"}])
    def test_it_refuses(self, alice, name, value):
        assert [*refusal(alice.post("/v1/receipts", RUN | {name: value}))] == [name]

    @pytest.mark.parametrize("name", [*PASSPORTS, "runtime", "policy_hash"])
    @pytest.mark.parametrize("value", CONTROLS)
    def test_it_refuses_control_characters(self, alice, name, value):
        assert [*refusal(alice.post("/v1/receipts", RUN | {name: value}))] == [name]

    @pytest.mark.parametrize(
        ("name", "longest"), [*((name, 200) for name in PASSPORTS), ("runtime", 100)]
    )
    def test_it_counts_characters_and_not_bytes(self, alice, name, longest):
        text = "\N{GRINNING FACE}" * longest
        assert alice.record(**{name: text})[name] == text
        answer = alice.post("/v1/receipts", RUN | {name: text + "a"})
        assert [*refusal(answer)] == [name]

    def test_it_lower_cases_the_policy_hash(self, alice):
        assert alice.record(policy_hash=HASH.upper())["policy_hash"] == HASH

    @pytest.mark.parametrize(
        "value",
        [HASH[1:], HASH + "0", HASH[1:] + "g", HASH + "\n", " " + HASH, "0x" + HASH],
    )
    def test_it_refuses_what_is_no_policy_hash(self, alice, value):
        answer = alice.post("/v1/receipts", RUN | {"policy_hash": value})
        assert [*refusal(answer)] == ["policy_hash"]


class TestOptionalTexts:
    @pytest.mark.parametrize("name", OPTIONAL_TEXTS)
    @pytest.mark.parametrize("value", [None, ""])
    def test_null_and_empty_mean_absent(self, alice, name, value):
        assert alice.record(**{name: value}).keys() == BODY | SEAL | EXTRAS

    @pytest.mark.parametrize("name", OPTIONAL_TEXTS)
    @pytest.mark.parametrize("value", [7, 0, True, [], {}, "a" * 201, *CONTROLS])
    def test_it_refuses(self, alice, name, value):
        assert [*refusal(alice.post("/v1/receipts", RUN | {name: value}))] == [name]

    @pytest.mark.parametrize("name", OPTIONAL_TEXTS)
    @pytest.mark.parametrize("value", ["a" * 200, "ü" * 200, " ", 'a "b" \\ c/d'])
    def test_it_takes(self, alice, name, value):
        assert alice.record(**{name: value})[name] == value


class TestTimestamp:
    @pytest.mark.parametrize(
        ("claimed", "seconds"),
        [
            (0, 0),
            (1_700_000_000, 1_700_000_000),
            (1_700_000_000_999, 1_700_000_000),
            (1_700_000_001_000, 1_700_000_001),
            (10**11, 10**8),  # the first value that is milliseconds
        ],
    )
    def test_milliseconds_are_floored_to_seconds(self, alice, claimed, seconds):
        assert alice.record(timestamp=claimed)["timestamp"] == seconds

    @pytest.mark.parametrize("claims", [{}, {"timestamp": None}])
    def test_it_is_our_clock_when_none_is_claimed(self, alice, claims):
        before = int(time.time())
        receipt = alice.record(**claims)
        assert before <= receipt["timestamp"] <= time.time()
        assert receipt["timestamp"] == receipt["issued_at"]

    def test_issued_at_is_our_clock_whatever_is_claimed(self, alice):
        before = int(time.time())
        receipt = alice.record(timestamp=1_700_000_000, issued_at=1)
        assert before <= receipt["issued_at"] <= time.time()

    @pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
    def test_it_may_be_almost_a_day_ahead(self, alice, unit):
        ahead = int(time.time()) + DAY - 60
        assert alice.record(timestamp=ahead * unit)["timestamp"] == ahead

    @pytest.mark.parametrize("unit", [1, 1000], ids=["seconds", "milliseconds"])
    def test_it_refuses_more_than_a_day_ahead(self, alice, unit):
        ahead = (int(time.time()) + DAY + 60) * unit
        answer = alice.post("/v1/receipts", RUN | {"timestamp": ahead})
        assert [*refusal(answer)] == ["timestamp"]

    @pytest.mark.parametrize(
        "value",
        [-1, 2**53, 99_999_999_999, 1.7e9, "1700000000", "2026-01-01T00:00:00Z", True],
    )
    def test_it_refuses(self, alice, value):
        answer = alice.post("/v1/receipts", RUN | {"timestamp": value})
        assert [*refusal(answer)] == ["timestamp"]


class TestRunId:
    @pytest.mark.parametrize("claims", [{}, {"run_id": None}, {"run_id": ""}])
    def test_it_is_made_when_absent(self, alice, claims):
        first, second = alice.record(**claims), alice.record(**claims)
        assert re.fullmatch("run_[0-9a-f]{32}", first["run_id"])
        assert first["run_id"] != second["run_id"]

    @pytest.mark.parametrize(
        "run_id",
        [
            "run-1",
            "backfill:agent:2026-01-01",
            "a",
            "a" * 200,
            "\N{GRINNING FACE}" * 200,
            "...",
            ".hidden",
            "with space",
            " ",
            "ünïcödé 実行",
            "e\N{COMBINING ACUTE ACCENT}",  # kept as it is, not made é
            "100%",
            "%2F",
            "%00",
            "?limit=1#top",
            "a&b=c;d",
            "a\\b",
            '"quoted"',
            "<b>&amp;",
            "batch",
            "verify",
        ],
    )
    def test_it_travels_percent_encoded_in_the_path(self, alice, run_id):
        receipt = alice.record(run_id=run_id)
        assert receipt["run_id"] == run_id
        assert fetch(alice, receipt_path(run_id))["receipt"] == receipt
        assert audit(alice, run_id).verdict is Verdict.VALID

    @pytest.mark.parametrize(
        "run_id",
        [
            "a/b",
            "/",
            ".",
            "..",
            "a" * 201,
            "a\N{NO-BREAK SPACE}b",
            "a\N{ZERO WIDTH SPACE}b",
            "a\N{LINE SEPARATOR}b",
            "\N{RIGHT-TO-LEFT OVERRIDE}a",
            *CONTROLS,
            7,
            True,
            ["a"],
        ],
    )
    def test_it_refuses(self, alice, run_id):
        answer = alice.post("/v1/receipts", RUN | {"run_id": run_id})
        assert [*refusal(answer)] == ["run_id"]
        assert log_size(alice) == 0


class TestAttestation:
    @pytest.mark.parametrize(
        "attestation",
        [
            {},
            {"quote": "AAAA", "nested": {"list": [1, [2, {"three": 3}]]}},
            {"half": 1.5, "tiny": 5e-324, "huge": 1.7976931348623157e308, "e": 1e21},
            {"negative": -9007199254740991, "nought": -0.5},
            {"nul": "a\x00b", "controls": "\x01\x1f\x7f\n\t", "": "empty name"},
            {"ü": "実行", "\N{GRINNING FACE}": "\u2028", "\ufb33": 1},
            {"null": None, "true": True, "false": False, "empty": [[], {}, ""]},
            {"receipt_hash": "not ours", "anchor": 1},
        ],
    )
    def test_it_is_kept_as_it_came(self, alice, attestation):
        receipt = alice.record(attestation=attestation)
        assert receipt["attestation"] == attestation
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID

    def test_members_keep_their_types(self, alice):
        run_id = alice.record(attestation={"a": True, "b": 1, "c": 0.5})["run_id"]
        kept = fetch(alice, receipt_path(run_id))["receipt"]["attestation"]
        assert {name: type(value) for name, value in kept.items()} == {
            "a": bool,
            "b": int,
            "c": float,
        }

    def test_null_means_absent(self, alice):
        assert "attestation" not in alice.record(attestation=None)

    def test_an_empty_object_is_not_absent(self, alice):
        assert alice.record(attestation={})["attestation"] == {}

    @pytest.mark.parametrize("value", ["", "quote", 7, True, [], [{}]])
    def test_it_refuses(self, alice, value):
        answer = alice.post("/v1/receipts", RUN | {"attestation": value})
        assert [*refusal(answer)] == ["attestation"]

    def test_it_has_32_kib_as_canonical_json(self, alice):
        # {"q":"aaa"} with ü, which JSON may escape and canonical JSON does not.
        filling = "ü" + "a" * (MAX_ATTESTATION - len(b'{"q":""}') - 2)
        receipt = alice.record(attestation={"q": filling})
        assert receipt["attestation"] == {"q": filling}
        answer = alice.post("/v1/receipts", RUN | {"attestation": {"q": filling + "a"}})
        assert [*refusal(answer)] == ["attestation"]

    def test_it_may_be_nested_as_deep_as_the_body(self, alice):
        deep: dict[str, Any] = {}
        for _ in range(30):
            deep = {"a": deep}
        assert alice.record(attestation=deep)["attestation"] == deep
        answer = alice.post("/v1/receipts", RUN | {"attestation": {"a": deep}})
        assert "Nested deeper" in answer.json()["message"]


class TestTheBody:
    def test_unknown_members_are_ignored(self, alice):
        receipt = alice.record(agent="a-1", metrics={"tokens_in": 1}, receipt_id="x")
        assert receipt.keys() == BODY | SEAL | EXTRAS
        assert metric(receipt, "tokens_in") == 42

    def test_members_of_the_seal_cannot_be_claimed(self, alice):
        receipt = alice.record(
            receipt_hash="0" * 64, signer_kid="mine", schema_version="9", anchor="x"
        )
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID
        assert receipt["schema_version"] == "1.0"

    def test_all_members_of_a_wrong_type_are_named_at_once(self, alice):
        names = [*RUN, *OPTIONAL_TEXTS, "timestamp", "run_id"]
        wrong = dict.fromkeys(names, 1.5)
        answer = alice.post("/v1/receipts", wrong | {"attestation": "x"})
        assert refusal(answer).keys() == {*wrong, "attestation"}

    def test_all_that_break_a_rule_are_named_at_once(self, alice):
        wrong = {
            "run_id": "a/b",
            "timestamp": 10**12 * 9,
            "attestation": {"q": "a" * MAX_ATTESTATION},
        }
        assert refusal(alice.post("/v1/receipts", RUN | wrong)).keys() == wrong.keys()

    def test_the_message_names_the_first_and_counts_the_others(self, alice):
        answer = alice.post("/v1/receipts", RUN | {"runtime": "", "tokens_in": -1})
        assert answer.json()["message"] == (
            "runtime: Expected `str` of length >= 1 (and 1 more, see details)"
        )

    def test_what_is_refused_is_not_written(self, alice):
        alice.record()
        refusal(alice.post("/v1/receipts", RUN | {"tokens_in": -1}))
        assert log_size(alice) == 1


class TestARepeatedRunId:
    def test_with_the_same_claims_it_answers_the_stored_receipt(self, alice):
        first = alice.record(run_id="run-1", trace_id="t", attestation={"a": [1, 1.5]})
        again = alice.record(run_id="run-1", trace_id="t", attestation={"a": [1, 1.5]})
        assert again == first
        assert log_size(alice) == 1

    @pytest.mark.parametrize(
        "repeat",
        [
            {"policy_hash": HASH.upper()},
            {"trace_id": None},
            {"trace_id": ""},
            {"unknown": "member"},
            {"attestation": None},
        ],
    )
    def test_another_spelling_of_the_same_claims_is_the_same(self, alice, repeat):
        first = alice.record(run_id="run-1")
        assert alice.record(run_id="run-1", **repeat) == first

    @pytest.mark.parametrize(
        "other",
        [
            {"tokens_in": 43},
            {"total_latency_ms": 0},
            {"runtime": "vLLM"},
            {"trace_id": "t"},
            {"policy_hash": "0" * 64},
            {"attestation": {}},
        ],
    )
    def test_with_other_claims_it_is_a_conflict(self, alice, other):
        alice.record(run_id="run-1")
        answer = alice.post("/v1/receipts", RUN | {"run_id": "run-1"} | other)
        assert answer.status_code == 409
        assert answer.json()["error_code"] == "RUN_ID_CONFLICT"
        assert [*answer.json()["details"]] == ["run_id"]
        assert log_size(alice) == 1

    @pytest.mark.parametrize(("first", "other"), [(True, 1), (0, False), (1, 1.5)])
    def test_values_that_only_python_holds_equal_are_a_conflict(
        self, alice, first, other
    ):
        alice.record(run_id="run-1", attestation={"a": first})
        body = RUN | {"run_id": "run-1", "attestation": {"a": other}}
        assert alice.post("/v1/receipts", body).status_code == 409

    def test_one_number_in_two_spellings_is_the_same(self, alice):
        first = alice.record(run_id="run-1", attestation={"a": 1})
        again = alice.record(run_id="run-1", attestation={"a": 1.0})
        assert again["receipt_hash"] == first["receipt_hash"]

    def test_a_time_that_was_not_claimed_is_not_compared(self, alice):
        first = alice.record(run_id="run-1", timestamp=1_700_000_000)
        assert alice.record(run_id="run-1") == first

    @pytest.mark.parametrize("claimed", [1_700_000_000, 1_700_000_000_500])
    def test_the_same_claimed_time_is_the_same(self, alice, claimed):
        first = alice.record(run_id="run-1", timestamp=1_700_000_000)
        assert alice.record(run_id="run-1", timestamp=claimed) == first

    def test_another_claimed_time_is_a_conflict(self, alice):
        alice.record(run_id="run-1", timestamp=1_700_000_000)
        body = RUN | {"run_id": "run-1", "timestamp": 1_700_000_001}
        assert alice.post("/v1/receipts", body).status_code == 409

    def test_case_and_spaces_make_another_run(self, alice):
        for run_id in ("run-1", "RUN-1", "run-1 ", " run-1"):
            alice.record(run_id=run_id)
        assert log_size(alice) == 4

    def test_it_is_no_replay_in_another_tenant_or_mode(
        self, alice, alice_test, charlie
    ):
        ids = {
            caller.record(run_id="run-1")["receipt_id"]
            for caller in (alice, alice_test, charlie)
        }
        assert len(ids) == 3


def test_the_columns_of_a_row_are_those_of_its_entry(alice):
    receipt = alice.record(trace_id="trace-1", timestamp=1_700_000_000)
    row = Receipt.objects.get(pk=receipt["receipt_id"])
    assert bytes(row.entry) == entry_of(receipt)
    assert bytes(row.leaf_hash) == leaf_hash(entry_of(receipt))
    assert bytes(row.receipt_hash).hex() == receipt["receipt_hash"]
    assert (row.trace_id, row.timestamp, row.runtime) == (
        "trace-1",
        1_700_000_000,
        "vllm",
    )
    assert row.tenant_id == alice.tenant.pk


def test_the_entry_is_the_leaf_that_the_proof_shows(alice):
    receipt = alice.record()
    proof = fetch(alice, receipt_path(receipt["run_id"], "proof"))["proof"]
    assert base64.b64decode(proof["leaf"]) == entry_of(receipt)
