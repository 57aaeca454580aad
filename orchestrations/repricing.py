"""Pricing recorded calls anew, by the prices in force now for the time of the call.

Nothing that was recorded changes. Each call whose price is another one gets an
`adjustment` receipt, and counts the new price in the adjusted totals from then on.
What a caller claimed to have paid is the caller's, and stays.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, QuerySet

from orchestrations.books import OrchestrationBooks
from orchestrations.models import Adjustment, CostSource, Inference
from orchestrations.money import plain, to_nanocents
from orchestrations.pricing import Quote, quote_served
from orchestrations.usage import Tokens
from orchestrations.work import NewPrice, Reprice, Scope
from receipts.entry import Entry, make_entry
from receipts.keyring import Keyring, keyring_for
from receipts.ledger import LedgerUnavailable, StaleKeyring, Submission, append
from receipts.models import Receipt

CHUNK = 500  # calls in a transaction
ATTEMPTS = 3  # at signing, while keys keep changing
OURS = (CostSource.TENANT_PRICE, CostSource.CATALOGUE, CostSource.UNPRICED)


@dataclass
class Outcome:
    looked_at: int = 0
    adjusted: int = 0
    unpriced: int = 0  # still, or by now: these keep what they had
    difference: Decimal = field(default_factory=Decimal)  # cents


def calls_between(
    tenant_id: UUID, mode: str, first: date, last: date
) -> QuerySet[Inference]:
    """Return the calls we priced, recorded on these UTC days, both included."""
    return Inference.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        recorded_at__gte=datetime.combine(first, time(), UTC),
        recorded_at__lt=datetime.combine(last + timedelta(days=1), time(), UTC),
        cost_source__in=OURS,
    )


def reprice(
    tenant_id: UUID,
    mode: str,
    first: date,
    last: date,
    reason: str,
    advance: Callable[[int], object],
    *,
    dry_run: bool,
) -> Outcome:
    """Price the calls of these days anew. May be interrupted and run again.

    Raises LedgerUnavailable; what was adjusted until then stays so.
    """
    outcome = Outcome()
    calls = calls_between(tenant_id, mode, first, last).order_by("recorded_at", "pk")
    following = calls
    while chunk := list(following[:CHUNK]):
        following = calls.filter(_after(chunk[-1]))
        for _ in range(ATTEMPTS):
            keyring = keyring_for(tenant_id, mode)
            found = list(_differing(keyring, chunk))
            try:
                adjusted = _adjust(keyring, mode, found, reason, dry_run)
            except StaleKeyring:
                continue
            break
        else:
            raise LedgerUnavailable
        outcome.looked_at += len(chunk)
        outcome.unpriced += sum(1 for item in found if item.offer is None)
        for item in adjusted:
            outcome.adjusted += 1
            assert item.offer  # noqa: S101  it was adjusted to it
            outcome.difference += item.offer.cents - (item.before or Decimal(0))
        advance(len(chunk))
    return outcome


def _after(call: Inference) -> Q:
    same_time = Q(recorded_at=call.recorded_at, pk__gt=call.pk)
    return Q(recorded_at__gt=call.recorded_at) | same_time


@dataclass(frozen=True, slots=True)
class _Difference:
    call: Inference
    receipt: Receipt
    before: Decimal | None
    offer: Quote | None


def _differing(keyring: Keyring, calls: list[Inference]) -> Iterator[_Difference]:
    """Yield the calls that have another price now, and those that have none."""
    ids = [call.pk for call in calls]
    receipts = Receipt.objects.only("run_id", "receipt_hash", "timestamp").in_bulk(ids)
    adjusted = {
        row.inference_id: row.after
        for row in Adjustment.objects.filter(
            tenant_id=keyring.tenant_id, inference_id__in=ids
        ).order_by("receipt_id")
    }
    for call in calls:
        receipt = receipts[call.pk]
        before = adjusted.get(call.pk, call.cost)
        tokens = _tokens(call)
        if call.cost is None and not tokens.total:
            continue  # nobody knows what it used, which is not nothing
        offer = quote_served(
            keyring.tenant_id,
            keyring.version,
            call.provider,
            (call.model, call.served_model),
            tokens,
            datetime.fromtimestamp(receipt.timestamp, UTC),
        )
        if offer is None or offer.cents != before:
            yield _Difference(call, receipt, before, offer)


def _tokens(call: Inference) -> Tokens:
    return Tokens(
        call.input_tokens,
        call.cache_read_tokens,
        call.cache_write_5m_tokens,
        call.cache_write_1h_tokens,
        call.output_tokens,
        call.reasoning_tokens,
    )


def _adjust(
    keyring: Keyring,
    mode: str,
    differences: list[_Difference],
    reason: str,
    dry_run: bool,
) -> list[_Difference]:
    """Log the adjustments; return those that were made, or would be."""
    priced = [item for item in differences if item.offer]
    if dry_run or not priced:
        return priced
    prices = [_new_price(keyring, item, reason) for item in priced]
    work = Reprice(Scope(keyring.tenant_id, mode), prices)
    done = append(Submission(keyring, [], books=OrchestrationBooks, work=work))
    return [item for item, made in zip(priced, done.results, strict=True) if made]


def _new_price(keyring: Keyring, item: _Difference, reason: str) -> NewPrice:
    call, offer = item.call, item.offer
    assert offer  # noqa: S101  those without are not adjusted
    return NewPrice(
        entry=_entry(keyring, item, offer, reason),
        inference_id=call.pk,
        orchestration_id=call.orchestration_id,
        recorded_at=call.recorded_at,
        spent_by=(
            call.model,
            call.provider,
            call.agent_id,
            call.workflow_id,
            call.api_key_id,
        ),
        was_unpriced=call.cost is None,
        before=None if item.before is None else to_nanocents(item.before),
        after=to_nanocents(offer.cents),
    )


def _entry(keyring: Keyring, item: _Difference, offer: Quote, reason: str) -> Entry:
    """Sign an `adjustment` (LEDGER section 1): who, what, why, which receipt."""
    call = item.call
    cost = {
        "after_cents": plain(offer.cents),
        "source": offer.source.value,
        "list_price_basis": offer.basis,
        "list_price_buckets": {n: plain(c) for n, c in offer.buckets.items()},
    }
    if item.before is not None:
        cost["before_cents"] = plain(item.before)
    claims = {
        "model": call.model,
        "provider": call.provider,
        "adjusts": {
            "receipt_id": str(call.pk),
            "receipt_hash": bytes(item.receipt.receipt_hash).hex(),
            "run_id": item.receipt.run_id,
        },
        "adjusted_by": "operator",
        "reason": reason,
        "cost": cost,
    }
    if call.agent_id:
        claims["agent_id"] = call.agent_id
    if call.orchestration_id:
        claims["orchestration_id"] = call.orchestration_id
    return make_entry(keyring, "adjustment", f"adj_{uuid.uuid4().hex}", None, claims)
