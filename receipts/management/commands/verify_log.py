import sys
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from lucid.api.errors import DATABASE_UNAVAILABLE
from receipts.fsck import Finding, check_log
from receipts.log_health import note_check
from receipts.models import Log
from tenants import events
from tenants.commands import JsonCommand, find_tenant
from tenants.models import Mode


class _Revoked:
    """How many entries are by a revoked key, and between which indexes."""

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self.last: int | None = None

    def note(self, index: int) -> None:
        self.count += 1
        self.first = index if self.first is None else self.first
        self.last = index


class _Checked:
    """How many entries were derived again: a log may grow meanwhile."""

    def __init__(self, bar: Any) -> None:
        self.count = 0
        self._bar = bar

    def advance(self, entries: int) -> None:
        self.count += entries
        self._bar.update(entries)


class Command(JsonCommand):
    help = (
        "Derive every leaf, tile, root, signature and checkpoint of a log again from"
        " its stored entries. Exits 1 and names the first thing that is wrong. Entries"
        " by a key that was revoked since are counted, and are nothing wrong with the"
        " log: it exits 0. That it was done is an access event, with the verdict."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--mode", choices=Mode.values, default=Mode.LIVE, help="default: live"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, mode = find_tenant(options["tenant"]), options["mode"]
        log = Log.objects.filter(tenant=tenant, mode=mode).first()
        if log is None:
            raise CommandError(f"{tenant.slug} has no {mode} log yet.", returncode=2)
        quiet = options["json"] or not sys.stderr.isatty()
        revoked = _Revoked()
        start = time.monotonic()
        with tqdm(total=log.size, unit=" entries", disable=quiet) as bar:
            checked = _Checked(bar)
            finding = check_log(log.pk, checked.advance, revoked.note)
        seconds = time.monotonic() - start
        self._put_on_record(log, checked.count, finding)
        log.refresh_from_db()
        data = {
            "origin": log.origin,
            "size": log.size,
            "root": bytes(log.root).hex(),
            "verdict": finding.verdict if finding else "VALID",
            "place": finding and finding.place,
            "detail": finding and finding.detail,
            "revoked_entries": revoked.count,
            "revoked_first": revoked.first,
            "revoked_last": revoked.last,
            "seconds": round(seconds, 3),
        }
        text = f"{log.origin}: {log.size} entries, root {data['root']}\n"
        if revoked.count:
            text += (
                f"{revoked.count} entries, {revoked.first} to {revoked.last}, are by"
                " revoked keys: KEY_REVOKED\n"
            )
        text += (
            f"{finding.verdict}: {finding.place}: {finding.detail}"
            if finding
            else "VALID"
        )
        self.report(data, text, as_json=options["json"])
        if finding:
            sys.exit(1)

    def _put_on_record(self, log: Log, size: int, finding: Finding | None) -> None:
        try:
            note_check(events.command_line(), log, size, finding)
        except DATABASE_UNAVAILABLE:  # as a standby is, which can be checked as well
            self.stderr.write("The check is not on record: the database took no event.")
