import sys
from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from orchestrations.money import plain
from orchestrations.repricing import calls_between, reprice
from receipts.ledger import LedgerUnavailable
from tenants.commands import JsonCommand, find_tenant
from tenants.models import Mode

REASON = "priced anew by the prices in force now"


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-22") from None


class Command(JsonCommand):
    help = (
        "Price the calls recorded on some UTC days by the prices in force now, and"
        " write an adjustment receipt for each that has another price. What was"
        " charged, and what agents claimed, stays as recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--from",
            type=day,
            required=True,
            dest="first",
            metavar="DAY",
            help="the first, as 2026-11-01",
        )
        parser.add_argument(
            "--to",
            type=day,
            required=True,
            dest="last",
            metavar="DAY",
            help="the last, included",
        )
        parser.add_argument(
            "--mode", choices=Mode.values, default=Mode.LIVE, help="default: live"
        )
        parser.add_argument(
            "--reason",
            default=REASON,
            help="stands in the receipts; at most 500 letters",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="say what would change, write nothing",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, mode = find_tenant(options["tenant"]), options["mode"]
        first, last = options["first"], options["last"]
        if first > last:
            raise CommandError("--from is after --to.", returncode=2)
        if not 0 < len(options["reason"]) <= 500:
            raise CommandError("--reason has 1 to 500 letters.", returncode=2)
        quiet = options["json"] or not sys.stderr.isatty()
        total = calls_between(tenant.pk, mode, first, last).count()
        with tqdm(total=total, unit=" calls", disable=quiet) as bar:
            try:
                outcome = reprice(
                    tenant.pk,
                    mode,
                    first,
                    last,
                    options["reason"],
                    bar.update,
                    dry_run=options["dry_run"],
                )
            except LedgerUnavailable:
                message = "The ledger cannot be written to now; run this again."
                raise CommandError(message) from None
        difference = plain(outcome.difference)
        data = {
            "tenant": tenant.slug,
            "mode": mode,
            "from": first,
            "to": last,
            "dry_run": options["dry_run"],
            "looked_at": outcome.looked_at,
            "adjusted": outcome.adjusted,
            "unpriced": outcome.unpriced,
            "difference_cents": difference,
        }
        done = "would be adjusted" if options["dry_run"] else "adjusted"
        text = (
            f"{outcome.looked_at} calls looked at, {outcome.adjusted} {done}"
            f" by {difference} cents in all, {outcome.unpriced} have no price."
        )
        self.report(data, text, as_json=options["json"])
