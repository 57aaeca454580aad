"""Every route, called by an outsider with the names of what is Alice's.

A route that is not in the table below fails the test: whoever adds one says here
what an outsider gets of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from orchestrations.models import ContentSalts
from tests.caller import RUN, Caller
from tests.conftest import new_caller, new_tenant
from tests.orchestrations.provider import Provider, open_account
from tests.orchestrations.runs import AGENT, CALL, record, start
from tests.receipts.auditor import fetch, grow, log_size

OURS = ("v1/", "log/")


@dataclass(frozen=True)
class Known:
    """What an outsider may know of Alice's tenant: names, ids and hashes."""

    slug: str
    run_id: str
    receipt_id: str
    receipt_hash: str
    secrets: tuple[str, ...]
    run: str = "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R"
    call: str = "nothing"
    receipt_of_call: str = "01a20420-4999-7657-a334-894683d401f8"
    witnessed: str = "01a20420-4999-7657-a334-894683d401f8"  # made by our gateway
    api_key: str = "7e0f6a2c-6c38-4f3e-9d0e-3a5c8f5b1d24"


Outcome = Callable[[Any, Known], bool]


def hidden(answer: Any, known: Known) -> bool:
    """As if it did not exist, and never 403."""
    return bool(answer.status_code == 404)


def own(answer: Any, known: Known) -> bool:
    """The outsider's own data, with nothing of Alice's."""
    text = answer.content.decode()
    return answer.status_code == 200 and not any(s in text for s in known.secrets)


def made(answer: Any, known: Known) -> bool:
    """Made anew, of the outsider's own."""
    text = answer.content.decode()
    return answer.status_code == 201 and not any(s in text for s in known.secrets)


def refused(answer: Any, known: Known) -> bool:
    """As of something that the outsider does not have."""
    text = answer.content.decode()
    return answer.status_code == 400 and not any(s in text for s in known.secrets)


def public(answer: Any, known: Known) -> bool:
    """For everybody, by design."""
    return bool(answer.status_code == 200)


# Route: how it is called with Alice's names (method, path, body), and what comes.
RUNS = "/v1/orchestrations/{run}"
ACTION = {"receipt_type": "action", "action": "tool_invocation"}
LLM_CALL = {
    "receipt_type": "action",
    "action": "llm_call_receipt",
    "metadata": {"model": "gpt-4o"},
}
PROMPT = {
    "model": "tiny-1",
    "prompt": "Is it covered?",
    "agent_id": AGENT,
    "orchestration_id": "{run}",
}
QUESTION = {"model": "tiny-1", "messages": []}
Call = tuple[str, str, Any, Outcome]
TABLE: dict[str, list[Call]] = {
    "v1/openapi.json": [("GET", "/v1/openapi.json", None, public)],
    "v1/docs": [("GET", "/v1/docs", None, public)],
    "v1/receipts": [
        ("GET", "/v1/receipts", None, own),
        ("GET", "/v1/receipts?runtime=vllm", None, own),
        ("POST", "/v1/receipts", RUN | {"run_id": "{run_id}", "tokens_in": 7}, own),
    ],
    "v1/receipts/batch": [
        ("GET", "/v1/receipts/batch", None, hidden),
        ("POST", "/v1/receipts/batch", {"receipts": [RUN]}, own),
    ],
    "v1/receipts/<str:name>": [
        ("GET", "/v1/receipts/{run_id}", None, hidden),
        ("GET", "/v1/receipts/{receipt_id}", None, hidden),
    ],
    "v1/receipts/<str:name>/verify": [
        ("GET", "/v1/receipts/{run_id}/verify", None, hidden),
        ("POST", "/v1/receipts/{receipt_id}/verify", {}, hidden),
    ],
    "v1/receipts/<str:name>/proof": [
        ("GET", "/v1/receipts/{run_id}/proof", None, hidden),
        ("GET", "/v1/receipts/{receipt_id}/proof?size=1", None, hidden),
    ],
    "v1/receipts/<str:name>/evidence": [
        ("GET", "/v1/receipts/{run_id}/evidence", None, hidden),
        ("GET", "/v1/receipts/{receipt_id}/evidence?format=bundle", None, hidden),
    ],
    "v1/verify/<str:receipt_hash>": [
        ("GET", "/v1/verify/{receipt_hash}", None, hidden),
    ],
    "v1/mmr/root": [("GET", "/v1/mmr/root", None, own)],
    "v1/signer/pubkey": [("GET", "/v1/signer/pubkey", None, own)],
    "v1/audit/events": [
        ("GET", "/v1/audit/events", None, own),
        ("GET", "/v1/audit/events?object_id={receipt_id}", None, own),
    ],
    "v1/keys": [
        ("GET", "/v1/keys", None, own),
        ("GET", "/v1/keys?tenant={slug}", None, public),
    ],
    "v1/orchestrations": [
        ("GET", "/v1/orchestrations", None, own),
        ("GET", "/v1/orchestrations?agent_id=" + AGENT, None, own),
        ("POST", "/v1/orchestrations", {"agent_id": AGENT}, made),
    ],
    "v1/orchestrations/execute": [
        ("POST", "/v1/orchestrations/execute", {"agent_id": AGENT}, made)
    ],
    "v1/orchestrations/llm-inference": [
        ("POST", "/v1/orchestrations/llm-inference", PROMPT, hidden)
    ],
    # Alice's providers take the model, the outsider has none; headers that name her
    # orchestration are tried in tests/orchestrations/test_relay_calls.py.
    "v1/chat/completions": [("POST", "/v1/chat/completions", QUESTION, refused)],
    "v1/messages": [("POST", "/v1/messages", QUESTION, refused)],
    "v1/orchestrations/<str:name>": [("GET", RUNS, None, hidden)],
    "v1/orchestrations/<str:name>/inferences": [
        ("GET", RUNS + "/inferences", None, hidden),
        ("POST", RUNS + "/inferences", CALL, hidden),
    ],
    "v1/orchestrations/<str:name>/llm-inference": [
        ("POST", RUNS + "/llm-inference", CALL | {"inference_id": "{call}"}, hidden)
    ],
    "v1/orchestrations/<str:name>/inferences/batch": [
        ("POST", RUNS + "/inferences/batch", {"inferences": [CALL]}, hidden)
    ],
    "v1/orchestrations/<str:name>/steps": [
        ("POST", RUNS + "/steps", {"action": "decision"}, hidden)
    ],
    "v1/orchestrations/<str:name>/complete": [("POST", RUNS + "/complete", {}, hidden)],
    "v1/orchestrations/<str:name>/fail": [
        ("POST", RUNS + "/fail", {"code": "NO"}, hidden)
    ],
    "v1/orchestrations/<str:name>/cancel": [("POST", RUNS + "/cancel", {}, hidden)],
    "v1/orchestrations/<str:name>/receipts": [
        ("GET", RUNS + "/receipts", None, hidden)
    ],
    "v1/inferences/<str:name>": [("GET", "/v1/inferences/{call}", None, hidden)],
    "v1/inferences/<str:name>/salts": [
        ("GET", "/v1/inferences/{witnessed}/salts", None, hidden)
    ],
    "v1/inferences/<str:name>/proof": [
        ("GET", "/v1/inferences/{call}/proof", None, hidden)
    ],
    "v1/costs": [
        ("GET", "/v1/costs", None, own),
        ("GET", "/v1/costs?group_by=api_key", None, own),
    ],
    "v1/observability/metrics": [
        ("GET", "/v1/observability/metrics", None, own),
        ("GET", "/v1/observability/metrics?group_by=api_key", None, own),
    ],
    "v1/budgets": [("GET", "/v1/budgets", None, own)],
    "v1/agent-receipts": [
        ("POST", "/v1/agent-receipts", ACTION | {"agent_id": AGENT}, made),
        ("POST", "/v1/agent-receipts", ACTION | {"agent_id": "{run}"}, hidden),
        ("POST", "/v1/agent-receipts", LLM_CALL | {"agent_id": "{run}"}, hidden),
    ],
    "v1/agent-receipts/<str:name>": [
        ("GET", "/v1/agent-receipts/{receipt_of_call}", None, hidden)
    ],
    "v1/agent-receipts/verify/<str:name>": [
        ("GET", "/v1/agent-receipts/verify/{receipt_of_call}", None, hidden)
    ],
    "v1/agent-receipts/agent/<path:agent_id>": [
        ("GET", "/v1/agent-receipts/agent/agent-of-alice", None, own),
        ("GET", "/v1/agent-receipts/agent/{run}", None, own),
    ],
    "v1/api-keys": [
        ("GET", "/v1/api-keys", None, own),
        ("POST", "/v1/api-keys", {"name": "ci", "scopes": ["audit:read"]}, made),
    ],
    "v1/api-keys/<str:name>": [("GET", "/v1/api-keys/{api_key}", None, hidden)],
    "v1/api-keys/<str:name>/rotate": [
        ("POST", "/v1/api-keys/{api_key}/rotate", {}, hidden)
    ],
    "v1/api-keys/<str:name>/revoke": [
        ("POST", "/v1/api-keys/{api_key}/revoke", {}, hidden)
    ],
    "log/<slug:tenant>/checkpoint": [("GET", "/log/{slug}/checkpoint", None, hidden)],
    "log/<slug:tenant>/consistency": [
        ("GET", "/log/{slug}/consistency?from=1", None, hidden),
        ("GET", "/log/{slug}/consistency?from=nonsense", None, hidden),
    ],
    "log/<slug:tenant>/<path:tile>": [
        ("GET", "/log/{slug}/tile/0/000.p/2", None, hidden),
        ("GET", "/log/{slug}/tile/entries/000.p/2", None, hidden),
    ],
    "log/<slug:tenant>/test/checkpoint": [
        ("GET", "/log/{slug}/test/checkpoint", None, hidden)
    ],
    "log/<slug:tenant>/test/consistency": [
        ("GET", "/log/{slug}/test/consistency?from=1", None, hidden)
    ],
    "log/<slug:tenant>/test/<path:tile>": [
        ("GET", "/log/{slug}/test/tile/0/000.p/2", None, hidden),
        ("GET", "/log/{slug}/test/tile/entries/000.p/2", None, hidden),
    ],
}
CALLS = [
    pytest.param(method, path, body, outcome, id=f"{method} {path} {place}")
    for calls in TABLE.values()
    for place, (method, path, body, outcome) in enumerate(calls)
]
PRIVATE = [call for call in CALLS if call.values[3] is not public]


def routes(resolver: Any, prefix: str = "") -> Iterator[str]:
    """Every route of a URLconf, as it is written there."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


def request(caller: Caller, known: Known, method: str, path: str, body: Any, **headers):
    filled = {
        name: value.format_map(vars(known)) if isinstance(value, str) else value
        for name, value in (body or {}).items()
    }
    path = path.format_map(vars(known))
    if method == "GET":
        return caller.get(path, **headers)
    return caller.post(path, filled, **headers)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider().serving() as provider:
        yield provider


def known_of(alice: Caller, provider: Provider) -> Known:
    """What Alice has: receipts in each mode, a call reported and one witnessed."""
    acme = alice.tenant
    receipt, _ = grow(alice, 2)
    alice.record(run_id="batch")  # as a path is called
    run = start(alice, agent_id="agent-of-alice")
    call = record(alice, run, inference_id="call-of-alice")
    open_account(acme, provider)
    alice.post("/v1/chat/completions", QUESTION)
    grow(new_caller(acme, mode="test"), 2)
    spare = new_caller(acme).key
    secrets = (
        acme.slug,
        str(acme.pk),
        receipt["receipt_id"],
        receipt["receipt_hash"],
        receipt["signer_kid"],
        run,
        fetch(alice, "/v1/mmr/root")["root"],
        spare.prefix,
        str(spare.pk),
    )
    return Known(
        acme.slug,
        receipt["run_id"],
        receipt["receipt_id"],
        receipt["receipt_hash"],
        secrets,
        run,
        "call-of-alice",
        call["receipt_id"],
        str(ContentSalts.objects.get(tenant=acme).pk),
        str(spare.pk),
    )


@pytest.fixture
def known(alice, provider) -> Known:
    return known_of(alice, provider)


# Those who are kept out change nothing of Alice's: one Alice does for all of them.


@pytest.fixture(scope="module")
def quiet_alice(_database, django_db_blocker) -> Iterator[Caller]:
    with django_db_blocker.unblock():
        yield new_caller(new_tenant("acme"))


@pytest.fixture(scope="module")
def quiet_known(quiet_alice, provider, django_db_blocker) -> Iterator[Known]:
    with django_db_blocker.unblock():
        yield known_of(quiet_alice, provider)
        assert log_size(quiet_alice) == 5


def test_every_route_is_in_the_table():
    ours = {route for route in routes(get_resolver()) if route.startswith(OURS)}
    assert ours == TABLE.keys()


@pytest.mark.parametrize(("method", "path", "body", "outcome"), CALLS)
def test_an_outsider_gets_nothing_of_alice(
    quiet_known, quiet_alice, charlie, method, path, body, outcome
):
    answer = request(charlie, quiet_known, method, path, body)
    assert outcome(answer, quiet_known), (answer.status_code, answer.content)
    assert log_size(quiet_alice) == 5


@pytest.mark.parametrize(("method", "path", "body", "outcome"), PRIVATE)
def test_nobody_in_particular_is_401(
    database, quiet_known, quiet_alice, method, path, body, outcome
):
    answer = request(quiet_alice, quiet_known, method, path, body, Authorization="")
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(("method", "path", "body", "outcome"), PRIVATE)
def test_a_revoked_key_is_nobody(
    database, quiet_known, quiet_alice, method, path, body, outcome
):
    revoked = new_caller(quiet_alice.tenant)
    revoked.key.revoke()
    answer = request(revoked, quiet_known, method, path, body)
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("method", "path", "body", "outcome"),
    [
        call
        for call in PRIVATE
        if call.values[3] is hidden and "test" not in str(call.id)
    ],
)
def test_it_is_there_for_alice(known, alice, method, path, body, outcome):
    # Or else the 404 of the outsider would say nothing.
    answer = request(alice, known, method, path, body)
    assert answer.status_code in ({400} if "nonsense" in path else {200, 201})


@pytest.mark.parametrize(
    ("method", "path", "body", "outcome"),
    [call for call in PRIVATE if call.values[3] is hidden],
)
def test_what_an_outsider_is_told_is_what_is_told_of_nothing(
    quiet_known, charlie, method, path, body, outcome
):
    no_id = quiet_known.receipt_id[:-4] + "0000"
    nothing = Known("nobody", "nothing", no_id, "0" * 64, ())
    answers = [
        request(charlie, names, method, path, body, X_Request_ID="r").json()
        for names in (quiet_known, nothing)
    ]
    for answer in answers:
        answer.pop("receipt_hash", None)  # the one that was asked for
    assert answers[0] == answers[1]


# A log is found by the name in its path; these are found by the key alone.
READING = [call for call in PRIVATE if str(call.id).startswith("GET /v1/")]


@pytest.mark.parametrize(("method", "path", "body", "outcome"), READING)
def test_a_view_that_is_not_told_for_whom_it_works_shows_nothing(
    database, quiet_known, quiet_alice, monkeypatch, method, path, body, outcome
):
    """Not even Alice her own: what lost its tenant fails, and never leaks."""
    monkeypatch.setattr("tenants.authentication.enter", lambda *tenant_ids: None)
    answer = request(quiet_alice, quiet_known, method, path, body)
    assert answer.status_code == 500
    text = answer.content.decode()
    assert not any(secret in text for secret in quiet_known.secrets)
