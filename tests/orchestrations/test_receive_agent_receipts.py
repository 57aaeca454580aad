"""What the published connectors send, and what they can ask for."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestrations import agent_api
from orchestrations.models import Budget, Inference, Orchestration
from receipts.models import Receipt
from receipts.verifier import Verdict
from tests.conftest import new_caller
from tests.orchestrations.runs import AGENT, encode, exact, get, post, start
from tests.receipts.auditor import audit, fetch, log_size
from tests.receipts.tampering import change_entry

PATH = "/v1/agent-receipts"
HASH = "0f" * 32
ACTION: dict[str, Any] = {
    "agent_id": AGENT,
    "receipt_type": "action",
    "action": "agent_action_receipt",
    "purpose": "integration evidence",
    "metadata": {"agent_name": "desk", "tool_name": None, "nested": {"a": [1, "é"]}},
    "inputs_hash": HASH.upper(),
}
METADATA: dict[str, Any] = {
    "model": "smollm2-135m",
    "provider": "openai",
    "prompt_hash": HASH,
    "completion_hash": "",
    "input_tokens": 31,
    "output_tokens": 12,
    "total_tokens": 43,
    "estimated_cost_usd": 0.0,
    "latency_ms": 850,
    "temperature": 0.5,
    "tool_calls": [],
    "receipt_type": "llm_call_receipt",
    "agent_id": AGENT,
}
CALL = ACTION | {"action": "llm_call_receipt", "metadata": METADATA}
del CALL["inputs_hash"]


def send(caller, claims, expected=201, **headers):
    answer = caller.post(PATH, encode(claims), **headers)
    assert answer.status_code == expected, answer.content
    return exact(answer)


def call(caller, expected=201, /, agent_id=AGENT, **metadata):
    claims = CALL | {"agent_id": agent_id, "metadata": METADATA | metadata}
    return send(caller, claims, expected)


def entry_of(receipt):
    return json.loads(bytes(Receipt.objects.get(pk=receipt["id"]).entry))


def cost_of(receipt):
    return entry_of(receipt)["cost"]


def test_an_action_gets_a_receipt(alice):
    told = send(alice, ACTION)
    assert told["id"] == told["receipt_id"]
    assert told["status"] == "valid"
    assert told["created_at"].endswith("Z")
    assert told["metadata"] == ACTION["metadata"]
    assert told["inputs_hash"] == HASH
    assert told["outputs_hash"] is None
    assert told["log_index"] == 0
    assert told["signing_envelope"]["alg"] == "Ed25519"
    assert fetch(alice, f"{PATH}/{told['id']}") == told
    assert entry_of(told)["receipt_type"] == "action"
    assert entry_of(told)["agent_receipt_type"] == "action"
    assert audit(alice, told["id"]).verdict == Verdict.VALID
    stored = Receipt.objects.get(pk=told["id"])
    assert told["chain_hash"] == bytes(stored.leaf_hash).hex()


def test_what_was_not_said_is_not_in_the_body(alice):
    told = send(alice, {"agent_id": AGENT, "receipt_type": "genesis", "action": "x"})
    assert told["metadata"] == {}
    assert told["receipt_type"] == "genesis"
    assert not entry_of(told).keys() & {"metadata", "purpose", "orchestration_id"}


@pytest.mark.parametrize(
    ("claims", "field"),
    [
        ({"agent_id": ""}, "agent_id"),
        ({"agent_id": 7}, "agent_id"),
        ({"action": "x" * 201}, "action"),
        ({"purpose": "x" * 201}, "purpose"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"text": "x" * 32768}}, "metadata"),
        ({"inputs_hash": "abc"}, "inputs_hash"),
        ({"orchestration_id": 7}, "orchestration_id"),
        ({"metadata": {"orchestration_id": 7}}, "metadata.orchestration_id"),
    ],
)
def test_bad_claims_are_refused_by_name(alice, claims, field):
    told = send(alice, ACTION | claims, 400)
    assert field in told["details"]
    assert log_size(alice) == 0


@pytest.mark.parametrize("missing", ["agent_id", "receipt_type", "action"])
def test_what_is_required_is_missed(alice, missing):
    claims = {name: value for name, value in ACTION.items() if name != missing}
    assert missing in send(alice, claims, 400)["details"]


def test_the_largest_receipt_there_can_be_is_logged(alice):
    wide = "\N{GRINNING FACE}" * 200
    names = ("agent_id", "receipt_type", "action", "purpose")
    texts = dict.fromkeys(names, wide) | {"outputs_hash": HASH}
    metadata = METADATA | {"model": wide, "text": ""}
    size = len(json.dumps(metadata, separators=(",", ":"), ensure_ascii=False).encode())
    metadata["text"] = "x" * (32768 - size)
    send(alice, ACTION | texts | {"metadata": metadata})


def test_a_repeat_with_the_same_key_gets_the_first_answer(alice):
    run = start(alice)
    for claims in (ACTION, ACTION | {"orchestration_id": run}, CALL):
        key = f"key-{log_size(alice)}"
        first = alice.post(PATH, claims, Idempotency_Key=key)
        again = alice.post(PATH, claims, Idempotency_Key=key)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.content == first.content
    assert log_size(alice) == 3


def test_a_repeat_is_answered_after_the_end_as_well(alice):
    claims = ACTION | {"orchestration_id": start(alice)}
    first = send(alice, claims, Idempotency_Key="k")
    post(alice, claims["orchestration_id"], "complete", {})
    assert send(alice, claims, Idempotency_Key="k") == first
    assert send(alice, claims, 409)["code"] == "NOT_RUNNING"


# Calls


def test_an_llm_call_is_an_inference(alice):
    told = call(alice)
    assert told["metadata"] == METADATA
    assert (told["receipt_type"], told["action"]) == ("action", "llm_call_receipt")
    shown = exact(alice.get(f"/v1/inferences/{told['id']}"))
    assert (shown["prompt_tokens"], shown["completion_tokens"]) == (31, 12)
    assert shown["agent_id"] == AGENT
    assert shown["orchestration_id"] is None
    assert shown["latency_ms"] == 850
    assert shown["input_hash"] == HASH
    assert shown["output_hash"] is None
    assert (shown["cost_cents"], shown["cost_source"]) == (None, "unpriced")
    assert audit(alice, told["id"]).verdict == Verdict.VALID


def test_it_is_there_whole_when_asked_for_again(alice):
    told = call(alice, estimated_cost_usd=Decimal("0.00001"))
    assert exact(alice.get(f"{PATH}/{told['id']}")) == told
    assert float(told["metadata"]["estimated_cost_usd"]) == 0.00001


@pytest.mark.parametrize("where", ["receipt_type", "action", "metadata"])
def test_a_call_says_in_one_of_three_places_that_it_is_one(alice, where):
    said = ACTION | {"metadata": METADATA | {"receipt_type": "other"}}
    if where == "metadata":
        said["metadata"] = METADATA
    else:
        said[where] = "llm_call_receipt"
    assert entry_of(send(alice, said))["receipt_type"] == "inference"


def test_it_counts_in_the_cost_views(alice):
    call(alice, model="gpt-4o", estimated_cost_usd=Decimal("0.0002"))
    call(alice)
    totals = exact(alice.get("/v1/costs"))["totals"]
    assert (totals["calls"], totals["input_tokens"]) == (2, 62)
    assert totals["output_tokens"] == 24
    assert totals["cost_cents"] == Decimal("0.02")
    assert totals["unpriced"] == 1


@pytest.mark.parametrize(
    ("literal", "cents"),
    [
        ("0.0001975", "0.01975"),
        ("1e-05", "0.001"),
        ("3.5E-7", "0.000035"),
        ("1", "100"),
        ("0.1", "10"),
        ("0.00000000001", "0.000000001"),
        ("0.000000000015", "0.000000002"),  # half to even
        ("10000", "1000000"),
    ],
)
def test_dollars_are_read_from_their_digits(alice, literal, cents):
    body = json.dumps(CALL).replace('"estimated_cost_usd": 0.0', f'"a": {literal}')
    answer = alice.post(PATH, body.replace('"a"', '"estimated_cost_usd"').encode())
    assert answer.status_code == 201, answer.content
    cost = cost_of(answer.json())
    assert (cost["cents"], cost["source"]) == (cents, "agent_reported")


@pytest.mark.parametrize("literal", ["0", "0.0", "-0.0", "0e5", "1e-300", "null"])
def test_a_cost_of_nothing_is_no_claim(alice, literal):
    body = json.dumps(CALL | {"metadata": METADATA | {"model": "gpt-4o"}})
    said = body.replace('usd": 0.0', f'usd": {literal}')
    answer = alice.post(PATH, said.encode())
    assert cost_of(answer.json())["source"] == "catalogue"


@pytest.mark.parametrize(
    "literal", ["-1", "-0.01", "10000.01", "1e5", '"0.1"', "true", "[]"]
)
def test_what_is_no_price_of_a_call_is_refused(alice, literal):
    body = json.dumps(CALL).replace('usd": 0.0', f'usd": {literal}')
    answer = alice.post(PATH, body.encode())
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"metadata.estimated_cost_usd"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""),
        ("model", None),
        ("input_tokens", -1),
        ("input_tokens", 1.5),
        ("input_tokens", 42.0),
        ("output_tokens", "12"),
        ("output_tokens", True),
        ("latency_ms", -1),
        ("prompt_hash", "abc"),
        ("provider", 7),
    ],
)
def test_bad_metadata_of_a_call_is_refused_by_name(alice, field, value):
    told = call(alice, 400, **{field: value})
    assert set(told["details"]) == {f"metadata.{field}"}
    assert log_size(alice) == 0


def test_a_call_without_metadata_misses_its_model(alice):
    claims = {name: value for name, value in CALL.items() if name != "metadata"}
    told = send(alice, claims, 400)
    assert told["details"] == {"metadata.model": ["This field is required."]}


@pytest.mark.parametrize(
    ("said", "kept"),
    [("anthropic", "anthropic"), ("unknown", "custom"), ("", "custom")],
)
def test_a_provider_that_we_do_not_know_is_custom(alice, said, kept):
    told = call(alice, provider=said)
    assert entry_of(told)["provider"] == kept
    assert told["metadata"]["provider"] == said


# Orchestrations


@pytest.mark.parametrize("where", ["body", "metadata", "agent_id"])
def test_a_call_belongs_to_the_orchestration_it_names(alice, where):
    run = start(alice, workflow_id="w")
    named: dict[str, dict[str, Any]] = {
        "body": {"orchestration_id": run},
        "metadata": {"metadata": METADATA | {"orchestration_id": run}},
        "agent_id": {"agent_id": run},
    }
    told = send(alice, CALL | named[where])
    assert told["orchestration_id"] == run
    assert told["agent_id"] == (run if where == "agent_id" else AGENT)
    (inference,) = Inference.objects.filter(orchestration_id=run)
    assert (inference.agent_id, inference.workflow_id) == (AGENT, "w")
    found = get(alice, run)
    assert (found["inference_count"], found["total_tokens"]) == (1, 43)


def test_an_action_names_its_orchestration_as_its_agent(alice):
    run = start(alice)
    told = send(alice, ACTION | {"agent_id": run})
    assert (told["agent_id"], told["orchestration_id"]) == (run, run)
    assert entry_of(told)["agent_id"] == AGENT
    assert fetch(alice, f"{PATH}/{told['id']}") == told
    assert get(alice, run)["inference_count"] == 0


def test_two_orchestrations_at_once_are_refused(alice):
    one, other = start(alice), start(alice)
    told = send(alice, ACTION | {"agent_id": one, "orchestration_id": other}, 400)
    assert "orchestration_id" in told["details"]


@pytest.mark.parametrize("claims", [ACTION, CALL])
def test_an_orchestration_of_others_is_not_there(alice, charlie, claims):
    run = start(alice)
    tester = new_caller(alice.tenant, mode="test")
    for caller, name in (
        (charlie, run),
        (tester, run),
        (alice, "maip-orch:nonsense"),
        (alice, "run-1"),
    ):
        send(caller, claims | {"orchestration_id": name}, 404)
        assert log_size(caller) == 0


@pytest.mark.parametrize("claims", [ACTION, CALL])
def test_nothing_is_recorded_after_the_end(alice, claims):
    run = start(alice)
    post(alice, run, "complete", {})
    told = send(alice, claims | {"agent_id": run}, 409)
    assert (told["code"], told["status"]) == ("NOT_RUNNING", "completed")
    assert log_size(alice) == 1


@pytest.mark.parametrize("claims", [ACTION, CALL])
def test_nothing_is_recorded_when_the_time_is_over(alice, claims):
    run = start(alice)
    gone = timezone.now() - timedelta(seconds=1)
    Orchestration.objects.filter(pk=run).update(expires_at=gone)
    told = send(alice, claims | {"agent_id": run}, 409)
    assert told["status"] == "timeout"
    assert get(alice, run)["status"] == "timeout"


def test_a_spent_budget_refuses_calls_but_no_actions(alice):
    run = start(alice, budget_cents=1)
    call(alice, agent_id=run, estimated_cost_usd=Decimal("0.01"))
    assert call(alice, 429, agent_id=run)["code"] == "BUDGET_EXCEEDED"
    send(alice, ACTION | {"agent_id": run})


def test_a_spent_month_refuses_calls_of_no_orchestration(alice):
    Budget.objects.create(tenant=alice.tenant, limit=Decimal(1))
    alice.tenant.forget_keys()
    call(alice, estimated_cost_usd=Decimal("0.01"))
    assert call(alice, 429)["code"] == "BUDGET_EXCEEDED"


# Reading


def test_a_receipt_is_verified(alice):
    for told in (send(alice, ACTION), call(alice)):
        found = fetch(alice, f"{PATH}/verify/{told['id']}")
        assert found["verdict"] == "VALID"
        assert found["valid"]
        assert found["receipt"]["id"] == told["id"]
        names = ("signature_verified", "transparency_verified", "chain_verified")
        assert all(found[name] for name in names)


def test_a_changed_receipt_is_told_of(alice):
    told = send(alice, ACTION)
    change_entry(alice, told["log_index"], action="another")
    found = fetch(alice, f"{PATH}/verify/{told['id']}")
    assert (found["valid"], found["verdict"]) == (False, "INVALID")
    assert found["reason"]
    assert not found["chain_verified"]


def test_every_verdict_has_its_reason():
    # Of one receipt; the others are of bundles and of content.
    of_bundles = {"INCONSISTENT", "CONTENT_ERASED", "CONTENT_MISMATCH"}
    assert set(Verdict) - of_bundles == set(agent_api.REASONS)


@pytest.mark.parametrize("agent", ["maip:acme/desk", "a b:é", "550e8400", "verify/x"])
def test_receipts_of_an_agent_are_listed_newest_first(alice, agent):
    send(alice, ACTION)
    ids = [send(alice, ACTION | {"agent_id": agent})["id"] for _ in range(2)]
    ids.append(call(alice, agent_id=agent)["id"])
    listed = fetch(alice, f"{PATH}/agent/{quote(agent, safe='')}?limit=100")
    assert [item["id"] for item in listed["receipts"]] == ids[::-1]
    assert (listed["total"], listed["next_cursor"]) == (3, None)


def test_pages_follow_each_other(alice):
    ids = [send(alice, ACTION)["id"] for _ in range(3)]
    first = fetch(alice, f"{PATH}/agent/{AGENT}?limit=2")
    path = f"{PATH}/agent/{AGENT}?limit=2&cursor={first['next_cursor']}"
    second = fetch(alice, path)
    shown = [item["id"] for page in (first, second) for item in page["receipts"]]
    assert shown == ids[::-1]
    assert first["total"] == second["total"] == 3


def test_an_orchestration_lists_what_belongs_to_it(alice):
    run = start(alice)
    ids = [
        send(alice, ACTION | {"agent_id": run})["id"],
        call(alice, agent_id=run)["id"],
    ]
    send(alice, ACTION)
    listed = fetch(alice, f"{PATH}/agent/{quote(run, safe='')}")
    assert [item["id"] for item in listed["receipts"]] == ids[::-1]
    assert {item["agent_id"] for item in listed["receipts"]} == {run}


def test_nobody_counts_beyond_the_limit(alice, monkeypatch):
    monkeypatch.setattr(agent_api, "MAX_TOTAL", 2)
    for _ in range(3):
        send(alice, ACTION)
    assert fetch(alice, f"{PATH}/agent/{AGENT}")["total"] == 2


def test_a_list_takes_as_many_queries_however_long(alice):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            fetch(alice, f"{PATH}/agent/{AGENT}")
        return len(captured)

    send(alice, ACTION)
    few = queries()
    for _ in range(5):
        send(alice, ACTION)
    assert queries() == few <= 4


def test_a_receipt_of_no_agent_is_none_of_these(alice):
    receipt = alice.record()
    for path in ("", "verify/"):
        assert alice.get(f"{PATH}/{path}{receipt['receipt_id']}").status_code == 404


def test_reading_and_writing_need_their_scopes(alice, bob):
    told = send(alice, ACTION)
    assert bob.post(PATH, ACTION).status_code == 403
    assert fetch(bob, f"{PATH}/{told['id']}")["id"] == told["id"]
    writer = new_caller(alice.tenant, ("receipts:write",))
    send(writer, ACTION)
    for path in (told["id"], f"verify/{told['id']}", f"agent/{AGENT}"):
        assert writer.get(f"{PATH}/{path}").status_code == 403
