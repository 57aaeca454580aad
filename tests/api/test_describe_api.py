"""The OpenAPI document tells the truth: every route is in it, every example is of the
shape that is really answered."""

from typing import Any

from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from lucid.api.errors import Code
from lucid.api.openapi import document, shape_of
from orchestrations import agent_examples
from orchestrations import examples as run_examples
from orchestrations.gateway import examples as gateway_examples
from orchestrations.models import Price
from receipts import examples
from tenants import examples as key_examples
from tenants.models import ApiKey
from tests.caller import RUN
from tests.orchestrations.provider import MODEL, Provider, open_account
from tests.orchestrations.runs import AGENT, CALL, post, record, start


def _routes(patterns, prefix=""):
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _routes(pattern.url_patterns, route)
        else:
            yield "/" + route.replace("<str:", "{").replace("<slug:", "{").replace(
                "<path:", "{"
            ).replace(">", "}")


def test_every_route_of_the_api_is_in_the_document():
    routes = {
        route
        for route in _routes(get_resolver().url_patterns)
        if route.startswith(("/v1/", "/log/"))
    }
    assert routes - {"/v1/docs", "/v1/openapi.json"} == set(document()["paths"])


def test_every_operation_has_a_summary_an_example_and_its_errors():
    for methods in document()["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            (success,) = operation["responses"].keys() & {"200", "201"}
            for content in operation["responses"][success]["content"].values():
                assert content["examples"]
            assert {"401", "403", "503"} <= set(operation["responses"])


def test_every_error_a_client_can_cause_is_in_the_document():
    told = {
        code
        for methods in document()["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for code in response["description"].split(", ")
    }
    # A malformed request line or method concerns no one operation.
    elsewhere = {Code.METHOD_NOT_ALLOWED, Code.INTERNAL_ERROR, Code.TENANT_REQUIRED}
    assert set(Code) - elsewhere <= told


def test_the_document_is_served_to_anybody():
    answer = Client().get("/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.1")


def test_the_page_shows_every_operation():
    page = Client().get("/v1/docs").content.decode()
    for path in document()["paths"]:
        assert path in page


def test_the_home_page_leads_to_the_docs():
    assert 'href="/v1/docs"' in Client().get("/").content.decode()


def test_examples_have_the_shape_of_real_answers(alice):
    receipt = alice.record(run_id="first")
    alice.record(run_id="batch")
    digest = receipt["receipt_hash"]
    batch = alice.post("/v1/receipts/batch", {"receipts": [RUN]}).json()
    real = {
        "ONE_RECEIPT": alice.get("/v1/receipts/batch").json(),
        "RESULTS": batch,
        "RECEIPTS": alice.get("/v1/receipts?limit=1").json(),
        "VERIFICATION": alice.get("/v1/receipts/first/verify").json(),
        "PROOF": alice.get("/v1/receipts/first/proof?size=2").json(),
        "HASH_VERIFICATION": alice.get(f"/v1/verify/{digest}").json(),
        "TREE_HEAD": alice.get("/v1/mmr/root").json(),
        "SIGNER": alice.get("/v1/signer/pubkey").json(),
        "KEYS": alice.get("/v1/keys").json(),
    }
    real["PROOF"]["proof"]["checkpoint"] = "a note, for the newest size"
    for name, answer in real.items():
        assert shape_of(getattr(examples, name)) == shape_of(answer), name


def test_examples_of_orchestrations_have_the_shape_of_real_answers(alice):
    said: dict[str, Any] = {"input": {"claim": 1}, "parameters": {"temperature": 0}}
    said |= {"metadata": {"team": "claims"}, "agents": ["one"], "workflow_id": "w"}
    run = start(alice, name="n", model="m", budget_cents=5, **said)
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 9}
    told: dict[str, Any] = {"request_id": "r", "step_name": "s", "input_hash": "0" * 64}
    told |= {"output_hash": "0" * 64, "sequence": 4, "usage": usage}
    record(alice, run, **told, prompt_tokens=3, completion_tokens=5)
    step: dict[str, Any] = {"action": "tool_call", "name": "n", "result": "r"}
    step |= {"duration_ms": 1}
    step |= {"cost_cents": 1.5, "input_hash": "0" * 64, "output_hash": "0" * 64}
    real = {
        "STEP": post(alice, run, "steps", step).json(),
        "INFERENCE": post(alice, run, "inferences", CALL | told).json(),
        "ORCHESTRATION": alice.get(f"/v1/orchestrations/{run}").json(),
    }
    start(alice)
    real |= {
        "INFERENCES": alice.get(f"/v1/orchestrations/{run}/inferences?limit=1").json(),
        "ENDED": post(alice, run, "complete", {"output": {"decision": "pay"}}).json(),
        "COUNTED": alice.get(
            f"/v1/inferences/{real['INFERENCE']['inference_id']}/proof"
        ).json(),
    }
    for name, answer in real.items():
        example = _without_number_kinds(shape_of(getattr(run_examples, name)))
        assert example == _without_number_kinds(shape_of(answer)), name


def test_examples_of_the_gateway_have_the_shape_of_real_answers(alice):
    ledger_price = {"input_rate": 3, "output_rate": 15, "valid_from": timezone.now()}
    Price.objects.create(
        tenant=alice.tenant, provider="custom", model=MODEL, **ledger_price
    )
    asked = {"model": MODEL, "prompt": "Is it covered?", "agent_id": AGENT}
    with Provider().serving() as provider:
        open_account(alice.tenant, provider)
        answer = alice.post("/v1/orchestrations/llm-inference", asked).json()
        real = {
            "LLM_INFERENCE": answer,
            "SALTS": alice.get(f"/v1/inferences/{answer['inference_id']}/salts").json(),
        }
    answer["receipt"]["reported"] = {"usage": {"input_tokens": 1, "output_tokens": 1}}
    for name, answer in real.items():
        example = _without_number_kinds(shape_of(getattr(gateway_examples, name)))
        assert example == _without_number_kinds(shape_of(answer)), name


def test_examples_of_agent_receipts_have_the_shape_of_real_answers(alice):
    path, run = "/v1/agent-receipts", start(alice)
    said: dict[str, Any] = {"agent_id": run, "metadata": agent_examples.METADATA}
    said |= {"receipt_type": "action", "action": "llm_call_receipt", "purpose": "p"}
    said |= {"inputs_hash": "0" * 64, "outputs_hash": "0" * 64}
    alice.post(path, said)
    receipt = alice.post(path, said).json()
    real = {
        "ONE_AGENT_RECEIPT": receipt,
        "AGENT_RECEIPTS": alice.get(f"{path}/agent/{run}?limit=1").json(),
        "AGENT_VERIFICATION": alice.get(f"{path}/verify/{receipt['id']}").json(),
    }
    for name, answer in real.items():
        assert shape_of(getattr(agent_examples, name)) == shape_of(answer), name


def test_examples_of_api_keys_have_the_shape_of_real_answers(alice):
    said: dict[str, Any] = {"name": "ci", "scopes": ["receipts:write"]}
    said |= {"expires_in_seconds": 60, "allowed_addresses": ["192.0.2.0/24"]}
    said |= {"requests_per_minute": 60}
    made = alice.post("/v1/api-keys", said).json()
    path = f"/v1/api-keys/{made['api_key']['id']}"
    ApiKey.objects.touch(made["api_key"]["id"], "192.0.2.7")
    real = {
        "MADE": made,
        "ROTATED": alice.post(f"{path}/rotate", {}).json(),
        "ONE_API_KEY": alice.get(path).json(),
        "API_KEYS": alice.get("/v1/api-keys?limit=2").json(),
        "REVOKED": alice.post(f"{path}/revoke", {}).json(),
    }
    real["API_KEYS"]["api_keys"].reverse()  # the first is in use, and rotated
    real["API_KEYS"]["next_cursor"] = "there are more"
    for name, answer in real.items():
        assert shape_of(getattr(key_examples, name)) == shape_of(answer), name


def _without_number_kinds(shape):
    """An amount such as 1.0 is written as an integer."""
    if isinstance(shape, dict):
        return {name: _without_number_kinds(value) for name, value in shape.items()}
    return "number" if shape == "integer" else shape
