"""What is proven: signing keys, logs, their tiles, and receipts."""

import json
from typing import Any
from uuid import UUID

from django.db import models

from lucid.owned import TenantManager, TenantOwned
from receipts.ed25519 import Signer
from receipts.sealing import holds_sealed, unseal
from tenants.models import Mode, Tenant


@holds_sealed("sealed_seed")
class SigningKey(TenantOwned):
    """An Ed25519 key pair of a log: its seed sealed, its public half published.

    A signature counts for leaf indexes from `first_index` to `last_index`
    inclusive; a key still in use has no last one (LEDGER section 4). A checkpoint
    counts as its last leaf does. Of a revoked key none may count: the last index is
    below the first then, and -1 where the first is 0.
    """

    class Purpose(models.TextChoices):
        RECEIPT = "receipt"
        CHECKPOINT = "checkpoint"

    class Status(models.TextChoices):
        ACTIVE = "active"
        RETIRING = "retiring"  # a checkpoint key that signs beside the new one
        RETIRED = "retired"
        REVOKED = "revoked"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    mode = models.CharField(max_length=4, choices=Mode.choices)
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    kid = models.CharField(max_length=43)  # RFC 7638 thumbprint
    public_key = models.BinaryField()
    sealed_seed = models.BinaryField()
    master_key_id = models.CharField(max_length=40)
    status = models.CharField(
        max_length=8, choices=Status.choices, default=Status.ACTIVE
    )
    first_index = models.BigIntegerField(default=0)
    last_index = models.BigIntegerField(null=True)
    overlap_until = models.DateTimeField(null=True)  # of a retiring key: the end
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "kid"], name="receipts_signing_key_kid_unique"
            ),
            models.UniqueConstraint(
                fields=["tenant", "mode", "purpose"],
                condition=models.Q(status="active"),
                name="receipts_signing_key_one_active",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {self.kid}"

    def signer(self) -> Signer:
        """Return what signs with this key; raises Unsealable."""
        return Signer(unseal(self.master_key_id, bytes(self.sealed_seed)))

    def published_range(self) -> tuple[int, int | None]:
        """Return first and last index as key sets say it, without a negative number."""
        last = self.last_index
        if last is None or last >= self.first_index:
            return self.first_index, last
        last = max(last, 0)
        return max(self.first_index, last + 1), last

    def vouches_for(self, size: int) -> bool:
        """Say whether this checkpoint key's signature counts on a tree of `size`."""
        last = self.last_index
        return last is None or (size - 1 <= last and self.first_index <= last)


class Log(TenantOwned):
    """A tenant's append-only log in one mode: its head, and nothing older.

    `frontier` holds a hash for each set bit of `size`, largest subtree first; all
    that an append needs to know of the tree. The database refuses a head that
    shrinks, and another root for a size it has had.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT)
    mode = models.CharField(max_length=4, choices=Mode.choices)
    origin = models.CharField(max_length=255)
    size = models.BigIntegerField(default=0)
    root = models.BinaryField()
    frontier = models.BinaryField(default=bytes)
    checkpoint = models.TextField()  # signed note of the newest head
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "mode"], name="receipts_log_one_per_mode"
            ),
            models.UniqueConstraint(
                fields=["origin"], name="receipts_log_origin_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.origin


class ReceiptQuerySet(models.QuerySet["Receipt"]):
    def of_log(self, tenant_id: UUID, mode: str) -> "ReceiptQuerySet":
        # A scalar subquery and not a join, so that the planner can walk an index
        # that starts with (tenant, log) in its order.
        log = Log.objects.filter(tenant_id=tenant_id, mode=mode).values("pk")[:1]
        return self.filter(tenant_id=tenant_id, log_id=models.Subquery(log))

    def named(self, name: str) -> "Receipt | None":
        """Return the receipt with this receipt_id, else the one with this run_id."""
        try:
            by_id = self.filter(pk=UUID(name)).first()
        except ValueError:
            by_id = None
        return by_id or self.filter(run_id=name).first()


class Receipt(TenantOwned):
    """One entry of a log: the canonical bytes, and columns that lists filter by.

    Written by `receipts.ledger` alone; the database refuses UPDATE and DELETE.
    Rows are inserted under the lock on their log's row, which is why the foreign
    keys need no constraint of their own (checking them would cost two look-ups
    for each receipt).
    """

    id = models.UUIDField(primary_key=True)  # UUIDv7
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    log = models.ForeignKey(
        Log, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    leaf_index = models.BigIntegerField()
    entry = models.BinaryField()  # JCS(body + seal), LEDGER section 1
    leaf_hash = models.BinaryField()
    receipt_hash = models.BinaryField()
    run_id = models.CharField(max_length=200)
    receipt_type = models.CharField(max_length=20)
    timestamp = models.BigIntegerField()  # Unix seconds, as the caller claims
    issued_at = models.BigIntegerField()  # Unix seconds, our clock
    signer_kid = models.CharField(max_length=43)
    # Claims that lists filter by; "" where the receipt does not make the claim.
    model_passport_id = models.CharField(max_length=200, default="")
    compute_passport_id = models.CharField(max_length=200, default="")
    policy_hash = models.CharField(max_length=64, default="")
    runtime = models.CharField(max_length=100, default="")
    trace_id = models.CharField(max_length=200, default="")
    model = models.CharField(max_length=200, default="")
    provider = models.CharField(max_length=20, default="")
    agent_id = models.CharField(max_length=200, default="")
    orchestration_id = models.CharField(max_length=40, default="")

    objects = TenantManager.from_queryset(ReceiptQuerySet)()  # type: ignore[misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "log", "leaf_index"],
                name="receipts_receipt_leaf_index_unique",
            ),
            models.UniqueConstraint(
                fields=["tenant", "log", "run_id"],
                name="receipts_receipt_run_id_unique",
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "receipt_hash"], name="receipts_receipt_by_hash"
            ),
            # Lists between two times: what is claimed may be years older than its
            # place in the log tells.
            models.Index(
                fields=["tenant", "log", "timestamp", "leaf_index"],
                name="receipts_receipt_by_time",
            ),
            # Newest-first lists under one filter. A claim that most receipts of a
            # log share needs no index: walking the log backwards finds it at once.
            models.Index(
                fields=["tenant", "log", "model_passport_id", "leaf_index"],
                name="receipts_receipt_by_passport",
            ),
            models.Index(
                fields=["tenant", "log", "trace_id", "leaf_index"],
                condition=~models.Q(trace_id=""),
                name="receipts_receipt_by_trace",
            ),
            models.Index(
                fields=["tenant", "log", "agent_id", "leaf_index"],
                condition=~models.Q(agent_id=""),
                name="receipts_receipt_by_agent",
            ),
            models.Index(
                fields=["tenant", "log", "orchestration_id", "leaf_index"],
                condition=~models.Q(orchestration_id=""),
                name="receipts_receipt_by_orch",
            ),
        ]

    def __str__(self) -> str:
        return self.run_id

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as the API shows it: the entry with its extras."""
        return with_extras(json.loads(bytes(self.entry)), self.pk, self.leaf_index)


def with_extras(
    entry: dict[str, Any], receipt_id: UUID, leaf_index: int
) -> dict[str, Any]:
    """Add what a reply says from outside the entry (LEDGER section 1, Extras)."""
    return {
        **entry,
        "receipt_id": str(receipt_id),
        "_mmr_leaf_index": leaf_index,
        "anchor": None,
    }


class Tile(TenantOwned):
    """A full hash tile: 256 hashes of one level. Partial ones are made on demand."""

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    log = models.ForeignKey(
        Log, on_delete=models.PROTECT, db_constraint=False, db_index=False
    )
    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField()  # the tile's entry in the level above

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "log", "level", "index"],
                name="receipts_tile_place_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"
