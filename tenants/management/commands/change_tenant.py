from typing import Any

from django.core.management.base import CommandParser

from tenants.commands import JsonCommand, find_tenant, key_name, rate
from tenants.events import command_line
from tenants.tenant_changes import change_tenant


class Command(JsonCommand):
    help = (
        "Change a tenant's name, or how many requests a minute all of its keys may make"
        " together. What is not given stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--name", type=key_name, help="what people call it")
        limit = parser.add_mutually_exclusive_group()
        limit.add_argument(
            "--requests-per-minute", type=rate, metavar="N", help="from 1 on"
        )
        limit.add_argument("--no-limit", action="store_true", help="any number")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        name = options["name"] or tenant.name
        limit = options["requests_per_minute"] or tenant.requests_per_minute
        if options["no_limit"]:
            limit = None
        changed = change_tenant(
            command_line(), tenant, name=name, requests_per_minute=limit
        )
        data = {
            "tenant": tenant.slug,
            "name": name,
            "requests_per_minute": limit,
            "changed": changed,
        }
        told = f"{name}, {f'{limit} requests a minute' if limit else 'without a limit'}"
        self.report(data, f"{tenant.slug}: {told}.", as_json=options["json"])
