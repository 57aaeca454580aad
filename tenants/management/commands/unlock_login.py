from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants import events, throttle
from tenants.commands import JsonCommand, find_user


class Command(JsonCommand):
    help = (
        "Let somebody log in again who is locked out, after too many wrong passwords"
        " of theirs or of a stranger's."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the person's e-mail address")
        super().add_arguments(parser)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["email"])
        addresses = throttle.unlock(user.email)
        events.record(
            events.command_line(),
            "login.unlocked",
            tenant_id=None,
            kind="user",
            object_id=user.email,
        )
        places = f"{addresses} address{'es' if addresses != 1 else ''}"
        failed = f"Failures from {places} are forgotten."
        text = f"{user.email} may log in. {failed if addresses else 'None had failed.'}"
        self.report(
            {"email": user.email, "addresses": addresses}, text, as_json=options["json"]
        )
