import sys
from dataclasses import asdict
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from orchestrations.credentials import LONGEST, complaint_about, describe
from orchestrations.models import Provider, ProviderCredential
from orchestrations.probing import Finding, Unusable, probe
from orchestrations.provider_changes import save_provider
from tenants import events
from tenants.commands import JsonCommand, find_tenant, full_clean
from tenants.row_states import state_of

NUMBERS = {
    "connect_seconds": "seconds to connect",
    "silence_seconds": "seconds to the next byte of an answer",
    "total_seconds": "seconds to the end of an answer",
    "retries": "tries after the first",
    "concurrency": "calls at a time",
}
SETTINGS = ["base_url", "model_patterns", "allowed_hosts", *NUMBERS]


class Command(JsonCommand):
    help = (
        "Set how a tenant's calls reach a provider. The credential is one line of"
        " standard input, and asked for at a terminal: an API key; of bedrock also"
        " ACCESS_KEY_ID:SECRET[:SESSION_TOKEN]. Where the tenant has the provider"
        " already, options that are not given keep what it says; otherwise they are"
        " the defaults."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "provider", choices=Provider.values, help="one of these four"
        )
        _add_settings(parser)
        credential = parser.add_mutually_exclusive_group()
        credential.add_argument(
            "--no-credential",
            action="store_true",
            help="read none: for a custom provider that asks for none",
        )
        credential.add_argument(
            "--keep-credential",
            action="store_true",
            help="read none: the one that is set stays",
        )
        parser.add_argument(
            "--test",
            action="store_true",
            help="ask the provider for its models first, and save only if it answers",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        row = _find_or_make(options["tenant"], options["provider"])
        before = state_of(row) if row.pk else None
        verb = "Replaced" if row.pk else "Set"
        for name in SETTINGS:
            if options[name] is not None:
                setattr(row, name, options[name])
        _set_credential(row, options)
        full_clean(row)
        finding = _test(row) if options["test"] else None
        save_provider(events.command_line(), row, before)
        text = f"{verb} {row}: {row.url}."
        self.report(
            describe(row) | {"test": finding and asdict(finding)},
            f"{text} {finding.text}" if finding else text,
            as_json=options["json"],
        )


def _add_settings(parser: CommandParser) -> None:
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="as the provider's own clients take it; '' for openai's and anthropic's",
    )
    for flag, name, metavar, what in (
        ("--model", "model_patterns", "PATTERN", "a model, or a beginning and *"),
        ("--allow-host", "allowed_hosts", "HOST", "may be private, or without TLS"),
    ):
        parser.add_argument(
            flag,
            dest=name,
            action="extend",
            nargs="*",
            metavar=metavar,
            help=f"{what}; given, these replace all that there were",
        )
    defaults = ProviderCredential()
    for name, what in NUMBERS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            metavar="N",
            help=f"{what}; default: {getattr(defaults, name)}",
        )


def _find_or_make(slug: str, provider: str) -> ProviderCredential:
    tenant = find_tenant(slug)
    rows = ProviderCredential.objects.filter(tenant=tenant, provider=provider)
    return rows.first() or ProviderCredential(tenant=tenant, provider=provider)


def _set_credential(row: ProviderCredential, options: dict[str, Any]) -> None:
    if options["keep_credential"]:
        if not row.pk:
            raise CommandError(f"{row.tenant} has no {row.provider} credential yet.")
        return
    credential = "" if options["no_credential"] else _read_credential()
    if complaint := complaint_about(credential, row.provider):
        raise CommandError(complaint)
    row.credential = credential


def _read_credential() -> str:
    try:
        if sys.stdin.isatty():
            line = getpass("Credential (is not shown): ")
        else:
            line = sys.stdin.readline(2 * LONGEST)
    except UnicodeDecodeError:
        raise CommandError("The credential is no text.") from None
    if credential := line.strip():
        return credential
    raise CommandError("The credential is empty. None at all is --no-credential.")


def _test(row: ProviderCredential) -> Finding:
    try:
        return probe(row)
    except Unusable as error:
        raise CommandError(f"Nothing was saved: {error}") from None
