from typing import Any

from django.core.management.base import CommandError, CommandParser

from lucid.isolation import working_for
from tenants import events, members
from tenants.commands import (
    JsonCommand,
    describe_member,
    find_tenant,
    find_user,
)
from tenants.models import Membership


class Command(JsonCommand):
    help = "Let somebody no longer belong to a tenant, at once. The account stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("email", help="the person's e-mail address")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        tenant, user = find_tenant(options["tenant"]), find_user(options["email"])
        with working_for(tenant.pk):
            found = Membership.objects.of_tenant(tenant).filter(user=user).first()
        if found is None:
            raise CommandError(f"{user.email} is no member of {tenant.slug}.")
        data = describe_member(found)
        try:
            members.remove(events.command_line(), found)
        except members.NotPossible as error:
            raise CommandError(str(error)) from None
        text = f"{user.email} is no member of {tenant.slug} any more."
        self.report(data, text, as_json=options["json"])
