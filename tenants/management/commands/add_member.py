from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants import events, members
from tenants.commands import (
    JsonCommand,
    describe_member,
    find_tenant,
    find_user,
)
from tenants.roles import Role


class Command(JsonCommand):
    help = "Let somebody who can log in belong to a tenant, in a role."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("email", help="of a user that create_user has made")
        parser.add_argument(
            "--role",
            required=True,
            choices=Role.values,
            help="analysts read runs and costs; auditors also receipts, exports and"
            " access events; admins manage keys, prices, providers and members besides",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, user = find_tenant(options["tenant"]), find_user(options["email"])
        actor = events.command_line()
        try:
            membership = members.add(actor, tenant, user, options["role"])
        except members.NotPossible as error:
            raise CommandError(str(error)) from None
        self.report(
            describe_member(membership),
            f"{user.email} is {membership.role} of {tenant.slug}.",
            as_json=options["json"],
        )
