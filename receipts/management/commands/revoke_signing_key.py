from typing import Any

from django.core.management.base import CommandError, CommandParser

from receipts.key_changes import Change, RefusedChange, revoke_key
from receipts.key_publication import describe
from receipts.ledger import LedgerUnavailable
from receipts.models import SigningKey
from tenants import events
from tenants.commands import JsonCommand


class Command(JsonCommand):
    help = (
        "Let no signature by a key count after a log index. Receipts after it answer"
        " KEY_REVOKED, everywhere; those up to it stay valid. A key in use is replaced"
        " by a fresh one at once. It can be run again with a lower index, never a"
        " higher one. Exits 1 when the ledger cannot be written to, 2 when refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kid", help="the key, as list_signing_keys shows it")
        parser.add_argument(
            "--last-valid-index",
            type=int,
            required=True,
            metavar="N",
            help="the last log index at which the key counts; -1: at none",
        )
        parser.add_argument(
            "--reason", required=True, help="stands in the receipt, for good"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        index = options["last_valid_index"]
        keys = SigningKey.objects.select_related("tenant")
        key = keys.filter(kid=options["kid"]).first()
        if key is None:
            message = f"There is no signing key {options['kid']!r}."
            raise CommandError(message, returncode=2)
        change = self._revoke(key, index, options["reason"])
        revoked = change.key if change else key
        successor = change.successor if change else None
        data = {
            "key": describe(revoked),
            "new_key": successor and describe(successor),
            "changed": change is not None,
            "receipt_id": change and change.receipt_id,
            "leaf_index": change and change.leaf_index,
        }
        lines = [
            f"{key.kid} counts up to index {index} from now on;"
            f" receipt {change.receipt_id}."
            if change
            else f"{key.kid} was revoked at index {index} before. Nothing changed."
        ]
        if successor:
            lines.append(f"{successor.kid} signs from now on.")
        self.report(data, "\n".join(lines), as_json=options["json"])

    @staticmethod
    def _revoke(key: SigningKey, index: int, reason: str) -> Change | None:
        try:
            return revoke_key(key, index, events.command_line(), reason)
        except RefusedChange as error:
            raise CommandError(str(error), returncode=2) from None
        except LedgerUnavailable:
            message = "The ledger cannot be written to now; run this again."
            raise CommandError(message) from None
