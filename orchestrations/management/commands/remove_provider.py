from typing import Any

from django.core.management.base import CommandError, CommandParser

from orchestrations.credentials import describe
from orchestrations.models import Provider, ProviderCredential
from orchestrations.provider_changes import remove_provider
from tenants import events
from tenants.commands import JsonCommand, find_tenant


class Command(JsonCommand):
    help = "Remove a provider of a tenant, credential and all: no new call reaches it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "provider", choices=Provider.values, help="one of these four"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, provider = find_tenant(options["tenant"]), options["provider"]
        row = ProviderCredential.objects.filter(
            tenant=tenant, provider=provider
        ).first()
        if row is None:
            raise CommandError(f"{tenant} has no {provider} credential.")
        data = describe(row)
        remove_provider(events.command_line(), row)
        self.report(data, f"Removed {row}.", as_json=options["json"])
