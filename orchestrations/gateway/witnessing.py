"""From a call that our gateway made to its signed entry and its cost.

Where `orchestrations.recording` writes down what it is told, this tells what was
seen: the receipt says `"observed": "witnessed"`.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from orchestrations.gateway.attempts import Attempt, Estimate, Seen
from orchestrations.models import CostSource
from orchestrations.money import to_nanocents
from orchestrations.pricing import Quote, quote_served
from orchestrations.recording import (
    DERIVED,
    NO_TOKENS,
    WITNESSED,
    Facts,
    cost_member,
    usage_member,
)
from orchestrations.usage import Reading, Tokens, read_usage
from orchestrations.work import Call
from receipts.entry import Entry, make_entry
from receipts.keyring import Keyring

# Beyond this a provider's count is a mistake, and would spoil every sum it is in.
MAX_TOKENS = 10**9
MAX_NAME = 200  # characters


def witnessed(
    attempt: Attempt,
    seen: Seen,
    facts: Facts | None,
    keyring: Keyring,
    *,
    is_late: bool = False,
) -> Call:
    """Price and sign a call. `is_late`: its orchestration ended before it did."""
    reading = _reading(attempt, seen)
    tokens = reading.tokens or NO_TOKENS
    served_model = _shortened(seen.served_model) or ""
    names = attempt.model, served_model
    owner = keyring.tenant_id, keyring.version, attempt.provider
    offer = None
    if reading.tokens:
        offer = quote_served(*owner, names, tokens, attempt.started_at)
    cents, source = _charged(seen, offer)
    body = _body(attempt, seen, facts, is_late=is_late)
    body["usage"] = usage_member(reading)
    body["cost"] = cost_member(cents, source, offer)
    return Call(
        entry=_entry(attempt, body, keyring),
        named=False,
        model=attempt.model,
        provider=attempt.provider,
        agent_id=attempt.agent_id,
        workflow_id=facts.workflow_id if facts else "",
        api_key_id=attempt.api_key_id,
        tokens=tokens,
        sequence=None,
        latency_ms=seen.latency_ms,
        cost=None if cents is None else to_nanocents(cents),
        list_price=to_nanocents(offer.cents) if offer else None,
        cost_source=source,
        flagged=bool(reading.contradictions),
        outcome=seen.outcome.value,
        served_model=served_model,
    )


def _reading(attempt: Attempt, seen: Seen) -> Reading:
    """Read the provider's usage, or else what we estimate; at most MAX_TOKENS."""
    reading = read_usage(attempt.provider, seen.usage, None, None)
    if seen.estimate:
        reading = replace(reading, tokens=_estimated(reading.tokens, seen.estimate))
    if reading.tokens and reading.tokens.total > MAX_TOKENS:
        complaint = f"{reading.tokens.total} tokens are more than any call has."
        return Reading(None, [*reading.contradictions, complaint])
    return reading


def _estimated(told: Tokens | None, estimate: Estimate) -> Tokens:
    """Complete what was told before an answer broke off."""
    if told is None:
        return Tokens(
            input_tokens=estimate.input_tokens, output_tokens=estimate.output_tokens
        )
    output = max(told.output_tokens, estimate.output_tokens)
    return replace(told, output_tokens=output)


def _charged(seen: Seen, offer: Quote | None) -> tuple[Decimal | None, CostSource]:
    if not seen.is_charged:
        return Decimal(0), CostSource.NO_CHARGE
    return (offer.cents, offer.source) if offer else (None, CostSource.UNPRICED)


def _body(
    attempt: Attempt, seen: Seen, facts: Facts | None, *, is_late: bool
) -> dict[str, Any]:
    run = facts.id if facts else None
    members = {
        "orchestration_id": None if is_late else run,
        "late_orchestration_id": run if is_late else None,
        "agent_id": attempt.agent_id,
        "request_id": _shortened(seen.request_id),
        "input_hash": attempt.input_hash,
        "output_hash": seen.output_hash,
        "output_text_hash": seen.output_text_hash,
        "latency_ms": seen.latency_ms,
        "ttft_ms": seen.ttft_ms,
        "http_status": seen.http_status,
        "error": _error(seen),
        "served_model": _shortened(seen.served_model),
        "finish_reason": _shortened(seen.finish_reason),
        "reported": None if seen.usage is None else {"usage": seen.usage},
        "usage_estimated": True if seen.estimate else None,
        "delivered": None if seen.delivered else False,
    }
    return {
        "model": attempt.model,
        "provider": attempt.provider,
        "observed": WITNESSED,
        "outcome": seen.outcome.value,
        "attempt": attempt.number,
        "streamed": seen.streamed,
        **{n: v for n, v in members.items() if v is not None and v != ""},
    }


def _error(seen: Seen) -> dict[str, str] | None:
    if seen.error_code is None:
        return None
    error = {
        "code": seen.error_code,
        "message": signable_text(seen.error_message or ""),
    }
    return {name: text for name, text in error.items() if text}


def _shortened(text: str | None) -> str | None:
    return None if text is None else signable_text(text)[:MAX_NAME]


def signable_text(text: str) -> str:
    """Return text without what JSON cannot carry, or PostgreSQL cannot keep."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _entry(attempt: Attempt, body: dict[str, Any], keyring: Keyring) -> Entry:
    return make_entry(
        keyring,
        "inference",
        attempt.inference_id,
        int(attempt.started_at.timestamp()),
        body,
        DERIVED,
        attempt.receipt_id,
    )
