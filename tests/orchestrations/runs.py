"""What tests of orchestrations do again and again."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from orchestrations.models import Orchestration
from orchestrations.ulid import earliest, new_ulid
from tests.caller import Caller

AGENT = "maip-agent:claims-desk"
CALL: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "prompt_tokens": 42,
    "completion_tokens": 128,
    "latency_ms": 850,
    "cost_cents": 0.25,
}


encode = msgspec.json.Encoder(decimal_format="number").encode


def exact(answer: Any) -> Any:
    """Return an answer's JSON with the numbers of money as Decimals."""
    return json.loads(answer.content, parse_float=Decimal)


def start(caller: Caller, **claims: Any) -> str:
    answer = caller.post("/v1/orchestrations", {"agent_id": AGENT} | claims)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["orchestration_id"])


def start_at(caller: Caller, moment: datetime, **claims: Any) -> str:
    """Start a run as if it were then: its id says when, too."""
    run = start(caller, **claims)
    name = f"maip-orch:{earliest(moment.timestamp())[:10]}{new_ulid()[10:]}"
    Orchestration.objects.filter(pk=run).update(id=name, started_at=moment)
    return name


def post(caller: Caller, run: str, what: str, body: Any) -> Any:
    """POST to a run; Decimals are sent with their own digits."""
    if not isinstance(body, bytes):
        body = encode(body)
    return caller.post(f"/v1/orchestrations/{run}/{what}", body)


def record(caller: Caller, run: str, **claims: Any) -> dict[str, Any]:
    answer = post(caller, run, "inferences", CALL | claims)
    assert answer.status_code == 201, answer.content
    inference: dict[str, Any] = exact(answer)
    return inference


def get(caller: Caller, run: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/orchestrations/{run}")
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = exact(answer)
    return found
