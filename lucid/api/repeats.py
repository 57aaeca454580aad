"""Creating POSTs outside of the ledger: done once for each Idempotency-Key.

The ledger's own are in its transaction (`receipts.ledger`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from lucid.api.idempotency import Claim, conflict
from lucid.api.models import IdempotentAnswer
from lucid.api.rendering import Answer, encode


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: as it is answered, and as a repeat of the request is told of it.

    `repeated` is stored in clear: it has no secret.
    """

    status: int
    shown: dict[str, Any]
    repeated: dict[str, Any]


def once(claim: Claim | None, make: Callable[[], Made]) -> Answer:
    """Answer with what `make` makes, in one transaction; a repeat with what it made."""
    if claim is None:
        with transaction.atomic():
            made = make()
        return Answer(made.shown, made.status)
    try:
        with transaction.atomic():
            # First of all, as another request with this key waits here for the end of
            # ours; not after it found that there is nothing left to do.
            row = _hold(claim)
            made = make()
            row.status, row.body = made.status, encode(made.repeated)
            row.save(update_fields=["status", "body"])
    except IntegrityError:
        first = IdempotentAnswer.objects.of(claim)
        if first is None:
            raise
        return _again(first, claim)
    return Answer(made.shown, made.status)


def _hold(claim: Claim) -> IdempotentAnswer:
    return IdempotentAnswer.objects.create(
        tenant_id=claim.tenant_id,
        mode=claim.mode,
        endpoint=claim.endpoint,
        key=claim.key,
        fingerprint=claim.fingerprint,
        status=0,
        body=b"",
        created_at=timezone.now(),
    )


def _again(first: IdempotentAnswer, claim: Claim) -> Answer:
    if bytes(first.fingerprint) != claim.fingerprint:
        raise conflict()
    answer = Answer(bytes(first.body), first.status)
    answer["Idempotent-Replayed"] = "true"
    return answer
