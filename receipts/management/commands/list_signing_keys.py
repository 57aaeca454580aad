from typing import Any

from django.core.management.base import CommandParser

from receipts.key_publication import describe
from receipts.models import SigningKey
from tenants.commands import JsonCommand, find_tenant


class Command(JsonCommand):
    help = (
        "List signing keys, old ones included, with the log indexes at which they"
        " count; never their seeds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "tenant", nargs="?", help="the tenant's slug; default: all tenants"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        rows = SigningKey.objects.select_related("tenant")
        if options["tenant"]:
            rows = rows.filter(tenant=find_tenant(options["tenant"]))
        keys = [describe(row) for row in rows.order_by("tenant__slug", "mode", "pk")]
        text = "\n".join(map(_line, keys)) or "No signing keys."
        self.report({"keys": keys}, text, as_json=options["json"])


def _line(key: dict[str, Any]) -> str:
    last = "" if key["last_index"] is None else key["last_index"]
    where = f"{key['tenant']} {key['mode']}"
    counts = f"{key['first_index']}..{last}"
    return f"{key['kid']}  {where} {key['purpose']:11}{key['status']:9}{counts}"
