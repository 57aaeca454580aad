import secrets
import sys
from getpass import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from tenants import events
from tenants.commands import JsonCommand, full_clean
from tenants.models import User

LONGEST = 4096
RANDOM_BYTES = 15


class Command(JsonCommand):
    help = (
        "Create somebody who can log in. The password is one line of standard input,"
        " and asked for at a terminal. Membership in a tenant is add_member's."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the e-mail address, which is the login")
        parser.add_argument(
            "--generate",
            action="store_true",
            help="read no password: make one and show it, this one time",
        )
        parser.add_argument(
            "--operator",
            action="store_true",
            help="let them into the admin, with all rights over all tenants",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        operator = options["operator"]
        user = User(
            email=User.objects.normalize_email(options["email"]).lower(),
            password="!",  # noqa: S106  none yet
            is_staff=operator,
            is_superuser=operator,
        )
        full_clean(user)
        generated = options["generate"]
        password = _new_password() if generated else _read_password()
        _refuse_weak(password, user)
        user.set_password(password)
        _save(user)
        data = {"id": user.pk, "email": user.email, "operator": operator}
        lines = [f"{user.email} can log in."]
        if generated:
            data["password"] = password
            lines = [password, f"{lines[0]} This is the only time the password shows."]
        self.report(data, "\n".join(lines), as_json=options["json"])


@transaction.atomic
def _save(user: User) -> None:
    user.save()
    events.record(
        events.command_line(),
        "user.created",
        tenant_id=None,
        kind="user",
        object_id=user.email,
        after={"operator": user.is_superuser},
    )


def _new_password() -> str:
    return secrets.token_urlsafe(RANDOM_BYTES)


def _read_password() -> str:
    try:
        if sys.stdin.isatty():
            line = getpass("Password (is not shown): ")
        else:
            line = sys.stdin.readline(LONGEST)
    except UnicodeDecodeError:
        raise CommandError("The password is no text.") from None
    if password := line.rstrip("\r\n"):
        return password
    raise CommandError("The password is empty. One is made with --generate.")


def _refuse_weak(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError("\n".join(error.messages)) from None
