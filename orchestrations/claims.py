"""What callers may say of orchestrations, calls and steps (WIRE section 3)."""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lucid.api.errors import invalid
from lucid.api.strict_json import without_literals
from orchestrations.money import Cents, to_nanocents
from orchestrations.ulid import ALPHABET, LENGTH
from receipts import canonical
from receipts.claims import (
    MAX_AHEAD,
    NO_CONTROLS,
    Count,
    Hash,
    OptionalText,
    Text,
    is_run_id,
)

ID_PREFIX = "maip-orch:"
ID = rf"{ID_PREFIX}[{ALPHABET}]{{{LENGTH}}}"

MAX_METADATA = 16 << 10  # bytes of canonical JSON
MAX_DOCUMENT = 64 << 10
MAX_RESULT = 4 << 10  # a summary, and a run with all its steps is one answer

MONTH = 30 * 86_400  # seconds

ProviderName = Literal["openai", "anthropic", "bedrock", "custom"]
StatusName = Literal["running", "completed", "failed", "timeout", "cancelled"]
ActionName = Literal["tool_call", "decision", "guardrail_check", "llm_inference"]
Message = Annotated[str, Meta(max_length=2000)]
Time = Annotated[datetime, Meta(tz=True)]

# The spelling of Truthlocks' JavaScript clients.
CAMEL_CASE = {
    "coordinatorAgentId": "agent_id",
    "participantAgentIds": "agents",
    "agentId": "agent_id",
    "workflowId": "workflow_id",
    "maxSteps": "max_steps",
    "timeoutSeconds": "timeout_seconds",
    "budgetCents": "budget_cents",
}


def in_snake_case(data: Any) -> Any:
    """Return a body with the names in camelCase that we know in snake_case."""
    if not isinstance(data, dict):
        return data
    spelled = {CAMEL_CASE.get(n, n): v for n, v in data.items() if n in CAMEL_CASE}
    return spelled | {n: v for n, v in data.items() if n not in CAMEL_CASE}


class StartOrchestration(msgspec.Struct, frozen=True):
    """The body of POST /v1/orchestrations."""

    agent_id: Text
    workflow_id: OptionalText = None
    name: OptionalText = None
    model: OptionalText = None
    input: dict[str, Any] | None = None
    max_steps: Annotated[int, Meta(ge=1, le=10_000)] = 10
    timeout_seconds: Annotated[int, Meta(ge=1, le=MONTH)] = 300
    parameters: dict[str, Any] | None = None
    agents: Annotated[list[Any], Meta(max_length=1000)] | None = None
    budget_cents: Cents | None = None
    metadata: dict[str, Any] | None = None

    def check(self) -> None:
        details = _check_documents(
            input=(self.input, MAX_DOCUMENT),
            parameters=(self.parameters, MAX_DOCUMENT),
            agents=(self.agents, MAX_DOCUMENT),
            metadata=(self.metadata, MAX_METADATA),
        )
        if any(not isinstance(agent, str | dict) for agent in self.agents or ()):
            details["agents"] = ["Expected agent ids, or objects that describe agents."]
        _refuse(details)

    def request(self) -> dict[str, Any]:
        """Return what is kept as it came."""
        given = {
            "agents": self.agents,
            "input": self.input,
            "parameters": self.parameters,
            "metadata": self.metadata,
        }
        return {n: without_literals(v) for n, v in given.items() if v is not None}


class NewInference(msgspec.Struct, frozen=True):
    """The body of POST .../inferences. Null and absent are one; "" too in names."""

    model: Text
    provider: ProviderName
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    latency_ms: Count | None = None
    cost_cents: Cents | None = None
    input_hash: Hash | None = None
    output_hash: Hash | None = None
    usage: dict[str, Any] | None = None
    agent_id: OptionalText = None
    step_name: OptionalText = None
    request_id: OptionalText = None
    started_at: Time | None = None
    sequence: Count | None = None
    inference_id: OptionalText = None

    def check(self) -> None:
        """Raise the 400 for what a type cannot say."""
        details = _check_documents(usage=(self.usage, MAX_DOCUMENT))
        if self.inference_id and not is_run_id(self.inference_id):
            details["inference_id"] = [
                "Expected 1-200 printable characters without '/', not '.' or '..'."
            ]
        if self.started_at is not None:
            seconds = self.started_at.timestamp()
            if not 0 <= seconds <= time.time() + MAX_AHEAD:
                details["started_at"] = ["Before 1970, or more than a day ahead."]
        _refuse(details)


class NewStep(msgspec.Struct, frozen=True):
    """The body of POST .../steps."""

    action: ActionName
    name: OptionalText = None
    agent_id: OptionalText = None
    result: Any = None
    duration_ms: Count | None = None
    cost_cents: Cents | None = None
    input_hash: Hash | None = None
    output_hash: Hash | None = None

    def check(self) -> None:
        _refuse(_check_documents(result=(self.result, MAX_RESULT)))

    def row(self) -> dict[str, Any]:
        """Return the step as `orchestrations.books` keeps it."""
        cost = self.cost_cents
        return {
            "action": self.action,
            "name": self.name or "",
            "agent_id": self.agent_id or "",
            "result": without_literals(self.result),
            "duration_ms": self.duration_ms,
            "cost": None if cost is None else to_nanocents(cost),
            "input_hash": (self.input_hash or "").lower(),
            "output_hash": (self.output_hash or "").lower(),
        }


class Complete(msgspec.Struct, frozen=True):
    output: Any = None
    output_hash: Hash | None = None

    def check(self) -> None:
        _refuse(_check_documents(output=(self.output, MAX_DOCUMENT)))

    def ending(self) -> dict[str, Any]:
        ending: dict[str, Any] = {}
        if self.output is not None:
            ending["output"] = without_literals(self.output)
        if self.output_hash:
            ending["output_hash"] = self.output_hash.lower()
        return ending


class Fail(msgspec.Struct, frozen=True):
    code: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_CONTROLS)]
    message: Message = ""

    def check(self) -> None:
        _refuse(_check_documents(message=(self.message, MAX_METADATA)))

    def ending(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message}}


class Cancel(msgspec.Struct, frozen=True):
    reason: Message | None = None

    def check(self) -> None:
        _refuse(_check_documents(reason=(self.reason, MAX_METADATA)))

    def ending(self) -> dict[str, Any]:
        return {"error": {"code": "CANCELLED", "message": self.reason or ""}}


def _check_documents(**given: tuple[Any, int]) -> dict[str, list[str]]:
    """Complain of what is too large, or holds what PostgreSQL cannot keep."""
    details = {}
    for name, (value, limit) in given.items():
        if value is None:
            continue
        if _is_plainly_fine(value, limit):
            continue
        size = len(canonical.dumps(without_literals(value)))
        if size > limit:
            details[name] = [f"{size} bytes as canonical JSON; at most {limit}."]
        elif any("\0" in text for text in _texts(value)):
            details[name] = ["A NUL character is in it."]
    return details


def _is_plainly_fine(value: Any, limit: int) -> bool:
    """Say so of nearly everything at a tenth of the cost of canonical JSON.

    Numbers may take some more room there, up to 25 characters for one of two.
    """
    written = msgspec.json.encode(value, enc_hook=float)
    return len(written) < limit // 10 and b"\\u0000" not in written


def _texts(value: Any) -> Iterable[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from value
            for member in value.values():
                yield from _texts(member)
        case list():
            for member in value:
                yield from _texts(member)


def _refuse(details: dict[str, list[str]]) -> None:
    if details:
        raise invalid(details)
