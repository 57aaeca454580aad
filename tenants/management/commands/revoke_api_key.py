from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants import events
from tenants.commands import JsonCommand, describe, find_api_key


class Command(JsonCommand):
    help = "Revoke an API key, at once and in every worker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the public part, as lk_live_0123456789")
        super().add_arguments(parser)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        key = find_api_key(options["prefix"])
        before = key.state()
        key.revoke()
        events.record(
            events.command_line(),
            "api_key.revoked",
            tenant_id=key.tenant_id,
            kind="api_key",
            object_id=key.prefix,
            before={"state": before},
            after={"state": key.state()},
        )
        self.report(describe(key), f"{key.prefix} is revoked.", as_json=options["json"])
