import secrets
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection, transaction

from tenants import database_role
from tenants.commands import JsonCommand

SHORTEST_PASSWORD = 16


class Command(JsonCommand):
    help = (
        "Make the PostgreSQL role that Lucid is to serve under, and grant it what Lucid"
        " does: run this as the owner of the tables, after each `migrate`. A role that"
        " is there is granted what is new; with a password, it gets that one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the role's name, as lucid_app")
        parser.add_argument(
            "--generate",
            action="store_true",
            help="make a password and print it, this one time; else the first line of"
            " standard input is the password, and an empty one leaves it as it is",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if connection.vendor != "postgresql":
            raise CommandError("SQLite has no roles: this is for PostgreSQL.")
        if not database_role.NAME.fullmatch(name):
            raise CommandError("name: use lower-case letters, digits and underscores.")
        password = self.password(name, generate=options["generate"])
        with transaction.atomic():
            if password:
                database_role.create_or_change(name, password)
            database_role.grant(name)
        shown = {"password": password} if options["generate"] else {}
        text = f"{name} may serve Lucid: name it in DATABASE_URL."
        if shown:
            text = f"{password}\nThis is the only time the password is shown. {text}"
        self.report({"role": name, **shown}, text, as_json=options["json"])

    def password(self, name: str, *, generate: bool) -> str:
        if generate:
            return secrets.token_urlsafe(24)
        given = "" if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        if not given and not database_role.exists(name):
            raise CommandError(
                f"There is no role {name} yet: give a password on standard input, or"
                " --generate."
            )
        if given and len(given) < SHORTEST_PASSWORD:
            raise CommandError(
                f"The password has to have {SHORTEST_PASSWORD} characters or more."
            )
        return given
