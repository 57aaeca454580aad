from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants import events
from tenants.commands import (
    JsonCommand,
    describe,
    duration,
    find_tenant,
    key_name,
    scope,
)
from tenants.models import ApiKey, Mode

TOLD = ["name", "mode", "scopes", "expires_at"]  # in the access event


class Command(JsonCommand):
    help = "Create an API key and print it, this one time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "--name", required=True, type=key_name, help="what the key is for"
        )
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            type=scope,
            help="what it may do, as receipts:write; repeatable",
        )
        parser.add_argument(
            "--test", action="store_true", help="for test data; default: live data"
        )
        parser.add_argument("--expires-in", type=duration, help="as 90d or 12h")
        super().add_arguments(parser)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        key, text = ApiKey.objects.issue(
            find_tenant(options["tenant"]),
            options["name"],
            options["scope"],
            Mode.TEST if options["test"] else Mode.LIVE,
            options["expires_in"],
        )
        told = {name: describe(key)[name] for name in TOLD}
        events.record(
            events.command_line(),
            "api_key.created",
            tenant_id=key.tenant_id,
            kind="api_key",
            object_id=key.prefix,
            after=told,
        )
        self.report(
            {**describe(key), "key": text},
            f"{text}\nThis is the only time the key is shown.",
            as_json=options["json"],
        )
