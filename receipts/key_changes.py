"""Changing signing keys on a running log (LEDGER section 4).

Every change is one transaction under the lock on the log's row: a `key_rotation`
receipt that tells of it, the rows of the keys, the access event, and a new
`keyring_version`. Entries signed before the change that meet the lock after it are
StaleKeyring to the ledger, and are signed anew by whoever brought them.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from lucid.isolation import across_tenants, working_for
from receipts import base58
from receipts.ed25519 import Signer
from receipts.entry import Entry, make_entry
from receipts.keyring import Keyring, keyring_for, log_of, new_key
from receipts.ledger import (
    LedgerUnavailable,
    Logged,
    StaleKeyring,
    Submission,
    append_alone,
)
from receipts.models import Log, SigningKey
from receipts.note import VerifierKey
from tenants import events
from tenants.events import Actor, ActorKind
from tenants.models import Tenant

Purpose = SigningKey.Purpose
Status = SigningKey.Status

ATTEMPTS = 10  # at signing, while others change keys
MAX_REASON = 500  # characters, in a receipt that stays
OVERLAP = timedelta(days=7)


class RefusedChange(ValueError):
    """The change of keys that is asked for cannot be; says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was done: the receipt that tells of it, the key it is about as it is now,
    and the key that signs in its place, if that is a new one.
    """

    receipt_id: UUID
    leaf_index: int
    key: SigningKey
    successor: SigningKey | None


Done = TypeVar("Done", bound=Change | None)


def rotate_key(
    tenant: Tenant,
    mode: str,
    purpose: str,
    actor: Actor,
    reason: str,
    overlap: timedelta = OVERLAP,
) -> Change:
    """Have a new key sign instead of the one in use, from the next entry on.

    A checkpoint key goes on signing beside the new one for the time of `overlap`.
    The log has to be there. Raises RefusedChange or LedgerUnavailable.
    """
    order = _Order(actor, _checked(reason))
    return _persistently(
        tenant.pk, lambda: _rotate(tenant.pk, mode, purpose, overlap, order)
    )


def revoke_key(
    key: SigningKey, last_valid_index: int, actor: Actor, reason: str
) -> Change | None:
    """Let no signature by the key count after that log index; -1: none at all.

    A key in use is replaced by a fresh one, so that the log goes on. None: the key
    was revoked at this very index before. Raises RefusedChange or LedgerUnavailable.
    """
    order = _Order(actor, _checked(reason))
    if last_valid_index < -1:
        raise RefusedChange("The last valid index is -1 or more.")
    return _persistently(
        key.tenant_id, lambda: _revoke(key.pk, last_valid_index, order)
    )


def end_overlaps() -> int:
    """Retire the checkpoint keys whose overlap is over; return how many."""
    with across_tenants():
        due = SigningKey.objects.filter(
            status=Status.RETIRING, overlap_until__lte=timezone.now()
        )
        return sum(_end_overlap(key) for key in due)


@dataclass(frozen=True, slots=True)
class _Order:
    actor: Actor
    reason: str


def _checked(reason: str) -> str:
    if not reason.isprintable() or not 1 <= len(reason.strip()) <= MAX_REASON:
        raise RefusedChange(f"A reason has 1 to {MAX_REASON} printable characters.")
    return reason.strip()


def _persistently(tenant_id: UUID, change: Callable[[], Done]) -> Done:
    for _ in range(ATTEMPTS):
        try:
            with working_for(tenant_id):
                return change()
        except StaleKeyring:
            continue
    raise LedgerUnavailable


def _rotate(
    tenant_id: UUID, mode: str, purpose: str, overlap: timedelta, order: _Order
) -> Change:
    keyring = keyring_for(tenant_id, mode)
    old = SigningKey.objects.get(
        tenant_id=tenant_id, mode=mode, purpose=purpose, status=Status.ACTIVE
    )
    new, signer = new_key(tenant_id, mode, purpose)
    claims: dict[str, Any] = {
        "key_change": "rotated",
        "old_key": {"kid": old.kid},
        "new_key": _public(new, keyring.origin),
    }
    signing = keyring
    old.status = Status.RETIRED
    if purpose == Purpose.CHECKPOINT:
        end = timezone.now() + overlap
        old.status, old.overlap_until = Status.RETIRING, end
        claims["old_key"]["overlap_until"] = int(end.timestamp())
        signing = keyring.overlapping(signer, end.timestamp())

    def settle(index: int) -> None:
        if purpose == Purpose.CHECKPOINT:
            new.first_index = index  # it has signed the tree that ends here
        else:
            old.last_index, new.first_index = index, index + 1

    entry = _entry(keyring, purpose, claims, order)
    return _change(signing, entry, old, new, settle, "rotated", order)


def _revoke(key_id: int, last_valid_index: int, order: _Order) -> Change | None:
    known = SigningKey.objects.get(pk=key_id)
    keyring = keyring_for(known.tenant_id, known.mode)
    # Read after the keyring: the version that the ledger compares is older.
    key = SigningKey.objects.get(pk=key_id)
    if key.status == Status.REVOKED and key.last_index == last_valid_index:
        return None
    _check_last_valid(last_valid_index, key)
    new, signing = _without(key, keyring)
    claims: dict[str, Any] = {
        "key_change": "revoked",
        "revoked_key": {"kid": key.kid, "last_valid_index": last_valid_index},
    }
    if new:
        claims["new_key"] = _public(new, keyring.origin)
    key.status, key.last_index = Status.REVOKED, last_valid_index

    def settle(index: int) -> None:
        if new:
            new.first_index = index

    entry = _entry(signing, key.purpose, claims, order)
    return _change(signing, entry, key, new, settle, "revoked", order)


def _check_last_valid(index: int, key: SigningKey) -> None:
    if key.last_index is not None and index > key.last_index:
        raise RefusedChange(
            f"Signatures by this key count up to index {key.last_index}: a revocation"
            " can only lower that."
        )
    last = log_of(key.tenant_id, key.mode).size - 1
    if index > last:
        raise RefusedChange(f"The log has no entry {index} yet; its last is {last}.")


def _without(key: SigningKey, keyring: Keyring) -> tuple[SigningKey | None, Keyring]:
    """Return a keyring in which the key signs nothing, and its successor if new."""
    if key.status == Status.RETIRING:
        public_key = bytes(key.public_key)
        others = [one for one in keyring.retiring if one[0].public_key != public_key]
        return None, replace(keyring, retiring=tuple(others))
    if key.status != Status.ACTIVE:
        return None, keyring
    new, signer = new_key(key.tenant_id, key.mode, key.purpose)
    return new, _signing_with(signer, key.purpose, keyring)


def _signing_with(signer: Signer, purpose: str, keyring: Keyring) -> Keyring:
    if purpose == Purpose.CHECKPOINT:
        return replace(keyring, checkpoint_signer=signer)
    return keyring.with_receipt_signer(signer)


def _public(key: SigningKey, origin: str) -> dict[str, str]:
    public_key = bytes(key.public_key)
    public = {"kid": key.kid, "public_key": base58.encode(public_key)}
    if key.purpose == Purpose.CHECKPOINT:
        public["vkey"] = str(VerifierKey.of(origin, public_key))
    return public


def _entry(
    keyring: Keyring, purpose: str, claims: dict[str, Any], order: _Order
) -> Entry:
    """Sign a `key_rotation` (LEDGER section 1): who, what, why, which keys.

    Who it was by name is in the access event, which names this receipt.
    """
    said = {
        "purpose": str(purpose),  # no JSON has an enum
        "changed_by": "operator",
        "reason": order.reason,
    }
    run_id = f"key_{uuid.uuid4().hex}"
    return make_entry(keyring, "key_rotation", run_id, None, claims | said)


def _change(
    signing: Keyring,
    entry: Entry,
    key: SigningKey,
    new: SigningKey | None,
    settle: Callable[[int], None],
    done: str,
    order: _Order,
) -> Change:
    """Log the entry, and with it the rows as `settle` leaves them at its index."""
    submission = Submission(signing, [entry])

    def along() -> None:
        (result,) = submission.results
        assert isinstance(result, Logged)  # noqa: S101  the run_id is ours and new
        settle(result.leaf_index)
        before = SigningKey.objects.get(pk=key.pk)
        key.save(update_fields=["status", "last_index", "overlap_until"])
        if new:
            new.save(force_insert=True)
        key.tenant.forget_keys()
        after = _state(key) | {"receipt_id": str(entry.receipt_id)}
        if new:
            after["successor"] = new.kid
        events.record(
            order.actor,
            f"signing_key.{done}",
            tenant_id=key.tenant_id,
            kind="signing_key",
            object_id=key.kid,
            before=_state(before),
            after=after,
            reason=order.reason,
        )

    append_alone(submission, along)
    (logged,) = submission.results
    return Change(logged.receipt_id, logged.leaf_index, key, new)


def _state(key: SigningKey) -> dict[str, Any]:
    return {
        "purpose": key.purpose,
        "mode": key.mode,
        "status": str(key.status),
        "first_index": key.first_index,
        "last_index": key.last_index,
    }


@transaction.atomic
def _end_overlap(key: SigningKey) -> bool:
    # Under the lock on the log's row, so that the size is not one of a moment ago.
    log = Log.objects.select_for_update().get(tenant_id=key.tenant_id, mode=key.mode)
    retiring = SigningKey.objects.filter(pk=key.pk, status=Status.RETIRING)
    last_index = log.size - 1
    if not retiring.update(status=Status.RETIRED, last_index=last_index):
        return False
    before = _state(key)
    key.tenant.forget_keys()
    events.record(
        Actor(ActorKind.SYSTEM, name="tick"),
        "signing_key.retired",
        tenant_id=key.tenant_id,
        kind="signing_key",
        object_id=key.kid,
        before=before,
        after=before | {"status": Status.RETIRED.value, "last_index": last_index},
    )
    return True
