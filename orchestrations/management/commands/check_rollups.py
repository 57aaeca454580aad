import sys
import time
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from orchestrations.money import plain
from orchestrations.reconciling import Difference, check_rollups, count_records
from tenants.commands import JsonCommand, find_tenant
from tenants.models import Mode


class Command(JsonCommand):
    help = (
        "Count every inference, step, adjustment and run of a tenant again, and compare"
        " with the rollups that cost pages read. Exits 1 and names the first row that"
        " differs. May run while calls are recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--mode", choices=Mode.values, default=Mode.LIVE, help="default: live"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, mode = find_tenant(options["tenant"]), options["mode"]
        quiet = options["json"] or not sys.stderr.isatty()
        start = time.monotonic()
        counts = count_records(tenant.pk, mode)
        with tqdm(total=sum(counts.values()), unit=" records", disable=quiet) as bar:
            difference = check_rollups(tenant.pk, mode, bar.update)
        data = {
            "tenant": tenant.slug,
            "mode": mode,
            **counts,
            "verdict": "DIFFERENT" if difference else "EQUAL",
            "difference": difference and _as_json(difference),
            "seconds": round(time.monotonic() - start, 3),
        }
        records = ", ".join(f"{count} {name}" for name, count in counts.items())
        text = f"{tenant.slug} ({mode}): {records}\n"
        text += _in_words(difference) if difference else "EQUAL"
        self.report(data, text, as_json=options["json"])
        if difference:
            sys.exit(1)


def _as_json(difference: Difference) -> dict[str, Any]:
    return {
        "table": difference.table,
        "key": _readable(difference.key),
        "expected": _readable(difference.expected),
        "found": _readable(difference.found),
    }


def _readable(columns: dict[str, Any]) -> dict[str, Any]:
    return {
        name: plain(value) if isinstance(value, Decimal) else value
        for name, value in columns.items()
    }


def _in_words(difference: Difference) -> str:
    key, expected, found = (
        " ".join(f"{name}={value}" for name, value in _readable(columns).items())
        for columns in (difference.key, difference.expected, difference.found)
    )
    return f"DIFFERENT: {difference.table} {key}: expected {expected}, found {found}"
