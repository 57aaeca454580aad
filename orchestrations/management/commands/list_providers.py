from typing import Any

from django.core.management.base import CommandParser

from orchestrations.credentials import describe
from orchestrations.models import ProviderCredential
from tenants.commands import JsonCommand, find_tenant

HEADINGS = ("TENANT", "PROVIDER", "URL", "MODELS", "ALLOWED HOSTS", "LIMITS", "UPDATED")


class Command(JsonCommand):
    help = "List the providers of a tenant, or of all; never their credentials."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "tenant", nargs="?", help="the tenant's slug; default: all tenants"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        rows = ProviderCredential.objects.select_related("tenant")
        if options["tenant"]:
            rows = rows.filter(tenant=find_tenant(options["tenant"]))
        found = list(rows.order_by("tenant__slug", "provider"))
        text = _table([HEADINGS, *map(_cells, found)]) if found else "No providers."
        providers = [describe(row) for row in found]
        self.report({"providers": providers}, text, as_json=options["json"])


def _cells(row: ProviderCredential) -> tuple[str, ...]:
    seconds = f"{row.connect_seconds}/{row.silence_seconds}/{row.total_seconds} s"
    return (
        row.tenant.slug,
        row.provider,
        row.url,
        " ".join(row.model_patterns) or "any",
        " ".join(row.allowed_hosts) or "-",
        f"{seconds}, {row.retries} retries, {row.concurrency} at a time",
        f"{row.updated_at:%Y-%m-%d %H:%M} UTC",
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
