from typing import Any

from django.core.management.base import CommandParser

from tenants.api_keys import revoke_key
from tenants.commands import JsonCommand, describe, find_api_key
from tenants.events import command_line


class Command(JsonCommand):
    help = "Revoke an API key, at once and in every worker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the public part, as lk_live_0123456789")
        parser.add_argument("--reason", default="", help="for the access event")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        key = find_api_key(options["prefix"])
        revoke_key(command_line(), key, options["reason"])
        self.report(describe(key), f"{key.prefix} is revoked.", as_json=options["json"])
