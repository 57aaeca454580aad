from typing import Any

from django.core.management.base import CommandParser

from tenants.commands import JsonCommand, describe, find_tenant
from tenants.models import ApiKey


class Command(JsonCommand):
    help = "List a tenant's API keys, newest first; never their secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        rows = ApiKey.objects.filter(tenant=tenant).select_related("tenant")
        keys = [describe(key) for key in rows.order_by("-created_at")]
        lines = [
            f"{key['prefix']}  {key['state']:8}{key['name']}: {' '.join(key['scopes'])}"
            for key in keys
        ]
        self.report(
            {"keys": keys}, "\n".join(lines) or "No API keys.", as_json=options["json"]
        )
