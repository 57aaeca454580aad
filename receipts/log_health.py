"""How a log is doing: its head, the keys that sign it, and when it was last checked."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from receipts.fsck import Finding
from receipts.models import Log, Receipt, SigningKey
from receipts.verifier import Verdict
from tenants import events
from tenants.events import Actor
from tenants.models import AccessEvent
from tenants.querysets import SOON

CHECKED = "log.verified"


@dataclass(frozen=True)
class Check:
    """A log was derived again in full, with this outcome."""

    at: datetime
    by: str
    verdict: str
    size: int  # of the log that was checked, or how many entries of it were
    place: str  # of the first thing wrong

    @property
    def is_valid(self) -> bool:
        return self.verdict == Verdict.VALID

    @property
    def last_index(self) -> int:
        return self.size - 1


@dataclass(frozen=True)
class Health:
    log: Log
    newest_at: int | None  # Unix seconds; None of an empty log
    keys: list[SigningKey]
    check: Check | None  # the newest

    @property
    def root(self) -> str:
        return bytes(self.log.root).hex()

    @property
    def checkpoint_key(self) -> SigningKey:
        """The key that signs the log's head now."""
        return next(
            key
            for key in self.keys
            if key.purpose == SigningKey.Purpose.CHECKPOINT
            and key.status == SigningKey.Status.ACTIVE
        )

    @property
    def ending(self) -> list[SigningKey]:
        """Checkpoint keys that are soon to sign no more beside their successors."""
        end = timezone.now() + SOON
        return [
            key
            for key in self.keys
            if key.status == SigningKey.Status.RETIRING
            and key.overlap_until
            and key.overlap_until <= end
        ]

    @property
    def revoked(self) -> int:
        """How many keys were revoked, ever: it is for good."""
        return sum(key.status == SigningKey.Status.REVOKED for key in self.keys)

    @property
    def unchecked(self) -> int:
        """How many entries came after the newest check."""
        return self.log.size - self.check.size if self.check else self.log.size


def health_of(tenant_id: UUID, mode: str) -> Health | None:
    """Return None where there is no log yet. Three queries."""
    newest = Receipt.objects.filter(
        tenant_id=tenant_id, log=OuterRef("pk"), leaf_index=OuterRef("size") - 1
    )
    logs = Log.objects.annotate(newest_at=Subquery(newest.values("issued_at")))
    log = logs.filter(tenant_id=tenant_id, mode=mode).first()
    if log is None:
        return None
    keys = SigningKey.objects.filter(tenant_id=tenant_id, mode=mode).order_by("-pk")
    return Health(log, log.newest_at, list(keys), _newest_check(log))


def note_check(actor: Actor, log: Log, size: int, finding: Finding | None) -> None:
    """Put on record that a log was checked in full, and what came of it."""
    after = {
        "verdict": str(finding.verdict if finding else Verdict.VALID),
        "size": size,
        "place": finding.place if finding else "",
    }
    events.record(
        actor,
        CHECKED,
        tenant_id=log.tenant_id,
        kind="log",
        object_id=log.origin,
        after=after,
    )


def _newest_check(log: Log) -> Check | None:
    told = AccessEvent.objects.filter(
        tenant_id=log.tenant_id, object_id=log.origin, action=CHECKED
    )
    event = told.order_by("-id").first()
    if event is None or event.after is None:
        return None
    after = event.after
    return Check(
        event.recorded_at,
        event.actor_name,
        after["verdict"],
        after["size"],
        after["place"],
    )
