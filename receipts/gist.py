"""What lists tell of a receipt, read from the members of its entry.

Each receipt_type says it in members of its own (LEDGER section 1). An entry that
somebody has tampered with may hold anything, and is told of as far as it can be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

TYPES = {
    "compute": "Compute",
    "inference": "Inference",
    "orchestration": "Orchestration",
    "action": "Action",
    "key_rotation": "Key change",
    "adjustment": "Adjustment",
    "erasure": "Erasure",
}
# Types that say by being what they are who observed it.
REPORTED_TYPES = ("compute", "action")
COSTLESS_TYPES = ("compute", "action", "key_rotation", "erasure")

INPUT = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gist:
    """`cost` is in US cents. None: the receipt does not say, or has no price for it;
    `is_costless` tells which.
    """

    model: str
    tokens_in: int | None
    tokens_out: int | None
    cost: Decimal | None
    is_costless: bool
    observed: str
    status: str

    @property
    def tokens(self) -> int | None:
        return total([self.tokens_in, self.tokens_out])


def gist(members: Members) -> Gist:
    kind = text(members, "receipt_type")
    tokens_in, tokens_out = tokens(members)
    return Gist(
        model=text(members, "model") or text(members, "model_passport_id"),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=cost(members),
        is_costless=kind in COSTLESS_TYPES,
        observed="reported" if kind in REPORTED_TYPES else text(members, "observed"),
        status=_status(kind, members),
    )


def tokens(members: Members) -> tuple[int | None, int | None]:
    """Return tokens in, those of caches included, and out; None: nobody counted any."""
    if metrics := inner(members, "metrics"):
        return number(metrics, "tokens_in"), number(metrics, "tokens_out")
    counts = inner(members, "usage") or _counted(inner(members, "totals"))
    read = total(number(counts, name) for name in INPUT)
    return read, number(counts, "output_tokens")


def _counted(totals: Members) -> Members:
    """Return the sums of a run, unless its calls had no token to be counted."""
    names = (*INPUT, "output_tokens")
    return totals if any(number(totals, name) for name in names) else {}


def cost(members: Members) -> Decimal | None:
    """Return the cost in cents: of a run, that of its calls and its steps."""
    if totals := inner(members, "totals"):
        parts = [cents(totals, "cost_cents"), cents(totals, "step_cost_cents")]
        known = [part for part in parts if part is not None]
        summed = sum(known, Decimal(0)) if known else None
        # Nothing, as no call had a price, is not known to be nothing.
        return None if number(totals, "unpriced") and not summed else summed
    priced = inner(members, "cost")
    return cents(priced, "after_cents" if "after_cents" in priced else "cents")


def _status(kind: str, members: Members) -> str:
    match kind:
        case "inference":
            return text(members, "outcome")
        case "orchestration":
            return text(members, "status")
        case "key_rotation":
            return text(members, "key_change")
        case _:
            return ""


def inner(members: Members, name: str) -> Members:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def text(members: Members, name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


def number(members: Members, name: str) -> int | None:
    value = members.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def cents(members: Members, name: str) -> Decimal | None:
    try:
        amount = Decimal(text(members, name))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
