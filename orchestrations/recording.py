"""From what a caller claims of an LLM call to its signed entry and its cost."""

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from lucid.api.errors import invalid
from lucid.api.strict_json import without_literals
from orchestrations.claims import NewInference
from orchestrations.models import CostSource, Orchestration
from orchestrations.money import plain, to_nanocents
from orchestrations.pricing import Quote, quote
from orchestrations.usage import Reading, Tokens, read_usage
from orchestrations.work import Call
from receipts.entry import EntryTooLarge, make_entry
from receipts.keyring import Keyring

REPORTED = "reported"  # somebody told us
WITNESSED = "witnessed"
# What a call that our gateway made tells besides.
OF_WITNESSED = (
    "outcome",
    "attempt",
    "http_status",
    "error",
    "served_model",
    "finish_reason",
    "streamed",
    "ttft_ms",
    "delivered",
    "usage_estimated",
    "output_text_hash",
    "late_orchestration_id",
)
# What we make of the claims: prices change, and a repeat is the same claim.
DERIVED = frozenset({"usage", "cost"})
MEMORY_LIMIT = 10_000  # runs; some 5 MB
NO_TOKENS = Tokens()


@dataclass(frozen=True, slots=True)
class Facts:
    """What never changes of an orchestration."""

    id: str
    tenant_id: UUID
    mode: str
    agent_id: str
    workflow_id: str


_memory: OrderedDict[str, Facts] = OrderedDict()


def facts_of(orchestration_id: str, tenant_id: UUID, mode: str) -> Facts | None:
    """Return the facts of an orchestration of that tenant and mode, if it is one."""
    facts = _memory.get(orchestration_id) or _look_up(orchestration_id)
    if facts and (facts.tenant_id, facts.mode) == (tenant_id, mode):
        return facts
    return None


def _look_up(orchestration_id: str) -> Facts | None:
    names = ("id", "tenant_id", "mode", "agent_id", "workflow_id")
    row = Orchestration.objects.filter(pk=orchestration_id).values_list(*names).first()
    return remember(Facts(*row)) if row else None


def remember(facts: Facts) -> Facts:
    if len(_memory) >= MEMORY_LIMIT:
        _memory.popitem(last=False)
    _memory[facts.id] = facts
    return facts


def call_of(
    claims: NewInference,
    facts: Facts | None,
    keyring: Keyring,
    api_key_id: UUID,
    extra: dict[str, Any] | None = None,
) -> Call:
    """Price and sign a call; `extra` members go into its body. Raises the 400s."""
    raw = None if claims.usage is None else without_literals(claims.usage)
    reading = read_usage(
        claims.provider, raw, claims.prompt_tokens, claims.completion_tokens
    )
    at = claims.started_at or datetime.now(UTC)
    tokens = reading.tokens
    offer = None
    if tokens:
        version, name = keyring.version, claims.model
        offer = quote(keyring.tenant_id, version, claims.provider, name, tokens, at)
    cost, source = _charged(claims.cost_cents, offer)
    agent_id = claims.agent_id or (facts.agent_id if facts else "")
    body = _body(claims, facts, agent_id, reading, raw)
    body["cost"] = cost_member(cost, source, offer)
    try:
        entry = make_entry(
            keyring,
            "inference",
            claims.inference_id or f"inf_{uuid.uuid4().hex}",
            int(at.timestamp()) if claims.started_at else None,
            body | (extra or {}),
            DERIVED,
        )
    except EntryTooLarge as error:
        raise invalid({"usage": [f"The receipt is too large: {error}."]}) from None
    return Call(
        entry=entry,
        named=bool(claims.inference_id),
        model=claims.model,
        provider=claims.provider,
        agent_id=agent_id,
        workflow_id=facts.workflow_id if facts else "",
        api_key_id=api_key_id,
        tokens=tokens or NO_TOKENS,
        sequence=claims.sequence,
        latency_ms=claims.latency_ms,
        cost=None if cost is None else to_nanocents(cost),
        list_price=to_nanocents(offer.cents) if offer else None,
        cost_source=source,
        flagged=bool(reading.contradictions),
    )


def _charged(
    claimed: Decimal | None, offer: Quote | None
) -> tuple[Decimal | None, CostSource]:
    if claimed is not None:
        return claimed, CostSource.AGENT_REPORTED
    if offer:
        return offer.cents, offer.source
    return None, CostSource.UNPRICED


def _body(
    claims: NewInference,
    facts: Facts | None,
    agent_id: str,
    reading: Reading,
    raw: dict[str, Any] | None,
) -> dict[str, Any]:
    reported = {
        "prompt_tokens": claims.prompt_tokens,
        "completion_tokens": claims.completion_tokens,
        "cost_cents": None if claims.cost_cents is None else plain(claims.cost_cents),
        "usage": raw,
    }
    members = {
        "orchestration_id": facts.id if facts else None,
        "agent_id": agent_id,
        "step_name": claims.step_name,
        "request_id": claims.request_id,
        "sequence": claims.sequence,
        "input_hash": claims.input_hash and claims.input_hash.lower(),
        "output_hash": claims.output_hash and claims.output_hash.lower(),
        "latency_ms": claims.latency_ms,
        "reported": {n: v for n, v in reported.items() if v is not None} or None,
    }
    return {
        "model": claims.model,
        "provider": claims.provider,
        "observed": REPORTED,
        "usage": usage_member(reading),
        **{n: v for n, v in members.items() if v is not None and v != ""},
    }


def usage_member(reading: Reading) -> dict[str, Any]:
    usage: dict[str, Any] = reading.tokens.counts() if reading.tokens else {}
    if reading.contradictions:
        usage["contradictions"] = reading.contradictions
    return usage


def cost_member(
    cost: Decimal | None, source: CostSource, offer: Quote | None
) -> dict[str, Any]:
    member: dict[str, Any] = {"source": source.value}
    if cost is not None:
        member["cents"] = plain(cost)
    if offer:
        member["list_price_cents"] = plain(offer.cents)
        member["list_price_basis"] = offer.basis
        member["list_price_buckets"] = {n: plain(c) for n, c in offer.buckets.items()}
    return member


def inference_json(members: dict[str, Any], receipt_id: UUID) -> dict[str, Any]:
    """Return an inference as the API shows it, from its entry."""
    usage, cost = members["usage"], members["cost"]
    reported = members.get("reported", {})
    cents, list_price = cost.get("cents"), cost.get("list_price_cents")
    return {
        "inference_id": members["run_id"],
        "orchestration_id": members.get("orchestration_id"),
        "agent_id": members.get("agent_id"),
        "step_name": members.get("step_name"),
        "sequence": members.get("sequence"),
        "model": members["model"],
        "provider": members["provider"],
        "prompt_tokens": reported.get("prompt_tokens", _input_total(usage)),
        "completion_tokens": reported.get(
            "completion_tokens", usage.get("output_tokens")
        ),
        "usage": {n: v for n, v in usage.items() if n != "contradictions"},
        "usage_contradictions": usage.get("contradictions", []),
        "latency_ms": members.get("latency_ms"),
        "cost_cents": cents and Decimal(cents),
        "cost_source": cost["source"],
        "list_price_cents": list_price and Decimal(list_price),
        "request_id": members.get("request_id"),
        "input_hash": members.get("input_hash"),
        "output_hash": members.get("output_hash"),
        "observed": members["observed"],
        **{name: members[name] for name in OF_WITNESSED if name in members},
        "started_at": iso(members["timestamp"]),
        "recorded_at": iso(members["issued_at"]),
        "receipt_id": str(receipt_id),
        "receipt_hash": members["receipt_hash"],
    }


def _input_total(usage: dict[str, Any]) -> int | None:
    if "input_tokens" not in usage:
        return None
    tokens = {n: v for n, v in usage.items() if n != "contradictions"}
    return Tokens(**tokens).input_total


def iso(seconds: int) -> str:
    """Write Unix seconds as ISO 8601 in UTC with Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def iso_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
