"""What a receipt says, in plain words: every member of its body, none left out."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from receipts.gist import Members, cents, gist, inner, number, text
from receipts.verifier import SEAL

END_OF_TIME = 253_402_300_800  # of the year 9999, in Unix seconds

KINDS = {
    "compute": "A run of a model",
    "inference": "A call to a model",
    "orchestration": "The end of an orchestration, with what it came to",
    "action": "Something that an agent did",
    "key_rotation": "A change of the keys that sign for this log",
    "adjustment": "A call that was priced anew",
    "erasure": "Content that was erased",
}
WITNESSED = (
    "This server's gateway made the call itself. It saw the request, the answer and"
    " the usage that the provider stated, and nobody had to be believed for that."
)
REPORTED = (
    "Somebody with a key of this tenant told this server. The receipt proves what was"
    " said, and when; not that it was true, nor that nothing was left unsaid."
)
OBSERVED = {
    "witnessed": ("Witnessed by our gateway", WITNESSED),
    "reported": ("Reported by the agent", REPORTED),
}
COUNTED = (
    "Written by this server",
    "The server counted this up from what its books hold; each call in it says in its"
    " own receipt whether it was witnessed or reported.",
)
OPERATED = (
    "Written by this server",
    "An operator of the server asked for the change; the access events name the"
    " person or the account.",
)

LABELS = {
    "schema_version": "Format",
    "receipt_type": "Type",
    "run_id": "Run id",
    "timestamp": "Time claimed",
    "issued_at": "Signed, by our clock",
    "model": "Model",
    "served_model": "Model that answered",
    "provider": "Provider",
    "model_passport_id": "Model passport",
    "compute_passport_id": "Compute passport",
    "agent_id": "Agent",
    "reported_agent_id": "Agent, as reported",
    "orchestration_id": "Orchestration",
    "late_orchestration_id": "Orchestration, which had ended before the call did",
    "workflow_id": "Workflow",
    "trace_id": "Trace",
    "step_name": "Step",
    "request_id": "The provider's request id",
    "sequence": "Number that the client gave the call",
    "metrics.tokens_in": "Tokens in",
    "metrics.tokens_out": "Tokens out",
    "ttft_ms": "Time to the first token",
    "metrics.ttft_ms": "Time to the first token",
    "metrics.total_latency_ms": "Time in all",
    "latency_ms": "Time in all",
    "usage.input_tokens": "Input tokens, neither read from a cache nor written to one",
    "usage.cache_read_tokens": "Input tokens read from a cache",
    "usage.cache_write_5m_tokens": "Input tokens written to a cache for 5 minutes",
    "usage.cache_write_1h_tokens": "Input tokens written to a cache for an hour",
    "usage.output_tokens": "Output tokens",
    "usage.reasoning_tokens": "of these for reasoning",
    "usage.contradictions": "The usage contradicts itself",
    "usage_estimated": "Tokens are estimated, as the answer broke off",
    "totals.input_tokens": "Input tokens, neither read from a cache nor written to one",
    "totals.cache_read_tokens": "Input tokens read from a cache",
    "totals.cache_write_5m_tokens": "Input tokens written to a cache for 5 minutes",
    "totals.cache_write_1h_tokens": "Input tokens written to a cache for an hour",
    "totals.output_tokens": "Output tokens",
    "totals.reasoning_tokens": "of these for reasoning",
    "totals.cost_cents": "Cost of the calls",
    "totals.list_price_cents": "List price of the calls",
    "totals.step_cost_cents": "Cost of the steps",
    "totals.unpriced": "Calls without a price",
    "totals.contradictory": "Calls whose usage contradicts itself",
    "totals.failed": "Calls that failed",
    "totals.steps": "Steps",
    "inferences.count": "Calls covered",
    "inferences.root": "Merkle root over the receipt hashes of these calls",
    "started_at": "Started",
    "ended_at": "Ended",
    "http_status": "HTTP status of the provider",
    "attempt": "Attempt",
    "outcome": "Outcome",
    "delivered": "Delivered to the caller",
    "agent_receipt_type": "Type, as the agent calls it",
    "input_hash": "Hash of the input",
    "output_hash": "Hash of the output",
    "output_text_hash": "Hash of the output's text",
    "inputs_hash": "Hash of the inputs",
    "outputs_hash": "Hash of the outputs",
    "policy_hash": "Hash of the policy",
    "image_hash": "Hash of the image",
    "model_hash": "Hash of the model",
    "runtime_hash": "Hash of the runtime",
    "key_change": "What was done",
    "old_key.kid": "Old key",
    "old_key.overlap_until": "Old key signs beside the new one until",
    "new_key.kid": "New key",
    "new_key.public_key": "New public key",
    "new_key.vkey": "New verifier key",
    "revoked_key.kid": "Revoked key",
    "revoked_key.last_valid_index": "Last entry that it may have signed",
    "purpose": "Purpose",
    "changed_by": "Changed by",
    "adjusts.receipt_id": "Receipt whose call it prices",
    "adjusts.receipt_hash": "That receipt's hash",
    "adjusts.run_id": "That receipt's run id",
    "adjusted_by": "Adjusted by",
}
# Said elsewhere on the page, or not of the receipt's own words.
ELSEWHERE = SEAL | {"cost", "observed"}
# What came from outside as an object of any shape: shown as it came.
AS_THEY_CAME = ("attestation", "metadata", "reported")
CONTENT = (
    "input_hash",
    "output_hash",
    "output_text_hash",
    "inputs_hash",
    "outputs_hash",
)
SOURCES = {
    "provider_reported": "as the provider stated it",
    "agent_reported": "as the agent stated it",
    "tenant_price": "by a price of this tenant's own",
    "catalogue": "by the bundled price list",
    "unpriced": "no price is known for this model",
    "no_charge": "the provider did not charge for the call",
}


@dataclass(frozen=True, slots=True)
class Said:
    """A member of the body. `kind` is how it is written: time, count, ms, id, money,
    json or text.
    """

    label: str
    value: Any
    kind: str


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost and by what: `after` an adjustment, where it is one."""

    charged: Decimal | None
    source: str
    list_price: Decimal | None
    basis: str
    buckets: list[tuple[str, Decimal | None]]
    before: Decimal | None
    is_adjustment: bool


@dataclass(frozen=True, slots=True)
class PlainWords:
    what: str
    observed: str  # in a few words
    meaning: str  # of that
    is_reported: bool
    said: list[Said]
    content: list[Said]
    as_it_came: list[Said]
    price: Price | None


def in_plain_words(members: Members) -> PlainWords:
    observed, meaning = _observed(members)
    flat = list(_flat(members))
    return PlainWords(
        what=_what(members),
        observed=observed,
        meaning=meaning,
        is_reported=gist(members).observed == "reported",
        said=[said(name, value) for name, value in flat if name not in CONTENT],
        content=[said(name, value) for name, value in flat if name in CONTENT],
        as_it_came=[
            Said(_label(name), _json(members[name]), "json")
            for name in AS_THEY_CAME
            if name in members
        ],
        price=_price(members),
    )


def _what(members: Members) -> str:
    kind = text(members, "receipt_type")
    what = KINDS.get(kind, "An entry of a type that this page does not know")
    shown = gist(members)
    match kind:
        case "compute" | "inference" | "adjustment" if shown.model:
            return f"{what}: {shown.model}"
        case "orchestration" | "key_rotation" if shown.status:
            return f"{what}: {shown.status}"
        case "action" if action := text(members, "action"):
            return f"{what}: {action}"
    return what


def _observed(members: Members) -> tuple[str, str]:
    shown = gist(members).observed
    if shown in OBSERVED:
        return OBSERVED[shown]
    return COUNTED if members.get("receipt_type") == "orchestration" else OPERATED


def _flat(members: Members) -> Iterator[tuple[str, Any]]:
    """Yield members with the path to each, known ones in the order of LABELS."""
    found: dict[str, Any] = {}
    for name, value in members.items():
        if name in ELSEWHERE or name in AS_THEY_CAME:
            continue
        if isinstance(value, dict) and value:
            found |= {f"{name}.{inside}": item for inside, item in value.items()}
        else:
            found[name] = value
    order = {name: place for place, name in enumerate(LABELS)}
    yield from sorted(found.items(), key=lambda item: order.get(item[0], len(order)))


def said(path: str, value: Any) -> Said:
    name = path.rpartition(".")[2]
    if isinstance(value, bool):
        return Said(_label(path), "yes" if value else "no", "text")
    if isinstance(value, int):
        return Said(_label(path), value, _kind_of_number(name, value))
    if isinstance(value, str):
        return _said_text(path, name, value)
    return Said(_label(path), _json(value), "json")


def _kind_of_number(name: str, value: int) -> str:
    if name in {"timestamp", "overlap_until"} or name.endswith("_at"):
        return "time" if 0 <= value < END_OF_TIME else "text"
    return "ms" if name.endswith("_ms") else "count"


def _said_text(path: str, name: str, value: str) -> Said:
    if name.endswith("_cents"):
        amount = cents({name: value}, name)
        if amount is not None:
            return Said(_label(path), amount, "money")
    is_id = name.endswith(("_id", "_hash")) or name in {"kid", "root", "public_key"}
    return Said(_label(path), value, "id" if is_id else "text")


def _label(path: str) -> str:
    words = path.replace(".", ": ").replace("_", " ")
    return LABELS.get(path, words[:1].upper() + words[1:])


def _price(members: Members) -> Price | None:
    cost = inner(members, "cost")
    if not cost:
        return None
    is_adjustment = "after_cents" in cost
    buckets = inner(cost, "list_price_buckets")
    source = text(cost, "source")
    return Price(
        charged=cents(cost, "after_cents" if is_adjustment else "cents"),
        source=SOURCES.get(source, source),
        list_price=cents(cost, "list_price_cents"),
        basis=text(cost, "list_price_basis"),
        buckets=[(name.replace("_", " "), cents(buckets, name)) for name in buckets],
        before=cents(cost, "before_cents"),
        is_adjustment=is_adjustment,
    )


def covered_calls(members: Members) -> int | None:
    """Return how many calls an orchestration's receipt covers."""
    return number(inner(members, "inferences"), "count")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
