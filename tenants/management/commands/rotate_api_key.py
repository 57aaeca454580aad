from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.api_keys import rotate_key
from tenants.commands import JsonCommand, describe, duration, find_api_key, overlap
from tenants.events import command_line
from tenants.models import ApiKey, NotRotatable


class Command(JsonCommand):
    help = (
        "Make an API key's successor and print it, this one time. It may do what the"
        " old key may, and expires when that would have. Both work during the overlap."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the public part, as lk_live_0123456789")
        parser.add_argument(
            "--overlap",
            type=overlap,
            default=timedelta(days=1),
            help="how long the old key still works, as 24h (default) or 0s",
        )
        parser.add_argument(
            "--expires-in", type=duration, help="another lifetime, as 90d"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        key = find_api_key(options["prefix"])
        try:
            successor, text = rotate_key(
                command_line(), key, options["overlap"], options["expires_in"]
            )
        except NotRotatable as error:
            raise CommandError(str(error)) from None
        self.report(
            {**describe(successor), "key": text, "rotated": describe(key)},
            f"{text}\nThis is the only time the key is shown. {_until(key)}",
            as_json=options["json"],
        )


def _until(key: ApiKey) -> str:
    if key.state() != "active" or key.ends_at is None:
        return f"{key.prefix} has ended."
    return f"{key.prefix} works until {key.ends_at:%Y-%m-%d %H:%M:%S} UTC."
