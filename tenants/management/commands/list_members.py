from typing import Any

from django.core.management.base import CommandParser

from lucid.isolation import working_for
from tenants.commands import JsonCommand, describe_member, find_tenant
from tenants.models import Membership


class Command(JsonCommand):
    help = "List who belongs to a tenant, and in which role."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        with working_for(tenant.pk):
            rows = list(Membership.objects.of_tenant(tenant))
        lines = [f"{row.role:8} {row.user.email}" for row in rows]
        self.report(
            {"members": [describe_member(row) for row in rows]},
            "\n".join(lines) or "No members.",
            as_json=options["json"],
        )
