from typing import Any

from django.core.management.base import CommandParser

from tenants.api_keys import create_key
from tenants.commands import (
    JsonCommand,
    address_range,
    describe,
    duration,
    find_tenant,
    key_name,
    rate,
    scope,
)
from tenants.events import command_line
from tenants.models import Mode


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
        parser.add_argument(
            "--expires-in",
            type=duration,
            metavar="TIME",
            help="as 90d or 12h; default: never",
        )
        parser.add_argument(
            "--allow-address",
            action="append",
            default=[],
            type=address_range,
            metavar="CIDR",
            help="where it may be used from, as 192.0.2.0/24; repeatable;"
            " default: anywhere",
        )
        parser.add_argument(
            "--requests-per-minute", type=rate, metavar="N", help="default: no limit"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        key, text = create_key(
            command_line(),
            find_tenant(options["tenant"]),
            options["name"],
            options["scope"],
            Mode.TEST if options["test"] else Mode.LIVE,
            options["expires_in"],
            allowed_addresses=options["allow_address"],
            requests_per_minute=options["requests_per_minute"],
        )
        self.report(
            {**describe(key), "key": text},
            f"{text}\nThis is the only time the key is shown.",
            as_json=options["json"],
        )
