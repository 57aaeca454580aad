from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from receipts.key_changes import OVERLAP, RefusedChange, rotate_key
from receipts.key_publication import describe
from receipts.ledger import LedgerUnavailable
from receipts.models import Log, SigningKey
from tenants import events
from tenants.commands import JsonCommand, duration, find_tenant
from tenants.models import Mode

Purpose = SigningKey.Purpose
REASON = "scheduled rotation"


class Command(JsonCommand):
    help = (
        "Have a new signing key sign a tenant's log from the next entry on. The log"
        " gets a key_rotation receipt; what the old key signed stays valid. Exits 1"
        " when the ledger cannot be written to, 2 when there is nothing to rotate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--purpose",
            choices=Purpose.values,
            default=Purpose.RECEIPT,
            help="default: receipt",
        )
        parser.add_argument(
            "--mode", choices=Mode.values, default=Mode.LIVE, help="default: live"
        )
        parser.add_argument(
            "--overlap",
            type=duration,
            help="how long a checkpoint key goes on signing beside the new one;"
            " default: 7d",
        )
        parser.add_argument(
            "--reason", default=REASON, help="stands in the receipt, for good"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, mode = find_tenant(options["tenant"]), options["mode"]
        purpose, overlap = options["purpose"], options["overlap"]
        if overlap and purpose != Purpose.CHECKPOINT:
            message = "--overlap is for checkpoint keys: receipts have one signature."
            raise CommandError(message, returncode=2)
        if not Log.objects.filter(tenant=tenant, mode=mode).exists():
            raise CommandError(f"{tenant.slug} has no {mode} log yet.", returncode=2)
        change = self._rotate(
            tenant, mode, purpose, options["reason"], overlap or OVERLAP
        )
        old, new = change.key, change.successor
        assert new  # noqa: S101  a rotation makes one
        data = {
            "old_key": describe(old),
            "new_key": describe(new),
            "receipt_id": change.receipt_id,
            "leaf_index": change.leaf_index,
        }
        text = f"{new.kid} signs from now on; receipt {change.receipt_id}."
        if old.overlap_until:
            text += f"\n{old.kid} signs beside it until {old.overlap_until:%F %T %Z}."
        self.report(data, text, as_json=options["json"])

    @staticmethod
    def _rotate(
        tenant: Any, mode: str, purpose: str, reason: str, overlap: timedelta
    ) -> Any:
        actor = events.command_line()
        try:
            return rotate_key(tenant, mode, purpose, actor, reason, overlap)
        except RefusedChange as error:
            raise CommandError(str(error), returncode=2) from None
        except LedgerUnavailable:
            message = "The ledger cannot be written to now; run this again."
            raise CommandError(message) from None
