from argparse import ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from orchestrations.models import Price, Provider
from orchestrations.terms_changes import add_price
from tenants import events
from tenants.commands import JsonCommand, find_tenant, full_clean


def amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is no decimal number") from None


def moment(text: str) -> datetime:
    """Read `2026-11-01` or `2026-11-01T12:00:00Z`; UTC where it does not say."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-01") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


class Command(JsonCommand):
    help = (
        "Set what a tenant pays for a model: rates in US dollars per million tokens,"
        " or a factor on the catalogue's. Earlier prices stay for earlier calls."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument(
            "provider", choices=Provider.values, help="one of these four"
        )
        parser.add_argument("model", help="its name, or a beginning of it and *")
        for name, what in (
            ("--input", "of tokens read"),
            ("--output", "of tokens written"),
            ("--cache-read", "of tokens read from a cache; default: as input"),
        ):
            parser.add_argument(name, type=amount, help=f"rate {what}", metavar="RATE")
        parser.add_argument(
            "--factor", type=amount, default=Decimal(1), help="0.85 is 15 %% off"
        )
        parser.add_argument(
            "--from",
            dest="valid_from",
            type=moment,
            metavar="DATE",
            help="first moment that it is paid, as 2026-11-01; default: now",
        )
        parser.add_argument(
            "--to", dest="valid_to", type=moment, metavar="DATE", help="end of that"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        price = Price(
            tenant=find_tenant(options["tenant"]),
            provider=options["provider"],
            model=options["model"],
            input_rate=options["input"],
            output_rate=options["output"],
            cache_read_rate=options["cache_read"],
            factor=options["factor"],
            valid_from=options["valid_from"] or timezone.now(),
            valid_to=options["valid_to"],
        )
        full_clean(price)
        add_price(events.command_line(), price)
        data = {
            "id": price.pk,
            "tenant": price.tenant.slug,
            "provider": price.provider,
            "model": price.model,
            "input_rate": price.input_rate,
            "output_rate": price.output_rate,
            "cache_read_rate": price.cache_read_rate,
            "factor": price.factor,
            "valid_from": price.valid_from.isoformat(),
            "valid_to": price.valid_to and price.valid_to.isoformat(),
        }
        text = f"Price {price.pk}: {price} from {price.valid_from:%Y-%m-%d %H:%M} UTC."
        self.report(data, text, as_json=options["json"])
