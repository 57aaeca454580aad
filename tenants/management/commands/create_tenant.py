from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants import events
from tenants.commands import JsonCommand, full_clean, rate
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Create a tenant. Its logs and signing keys are made when first needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "slug", help="its name in URLs and in the origin of its log"
        )
        parser.add_argument("--name", help="its name for people; default: the slug")
        parser.add_argument(
            "--requests-per-minute",
            type=rate,
            metavar="N",
            help="of all its keys together; default: no limit",
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["slug"]
        tenant = Tenant(
            slug=slug,
            name=options["name"] or slug,
            requests_per_minute=options["requests_per_minute"],
        )
        full_clean(tenant)
        data = {
            "id": tenant.pk,
            "slug": tenant.slug,
            "name": tenant.name,
            "requests_per_minute": tenant.requests_per_minute,
        }
        with transaction.atomic():
            tenant.save()
            events.record(
                events.command_line(),
                "tenant.created",
                tenant_id=tenant.pk,
                kind="tenant",
                object_id=tenant.slug,
                after={name: data[name] for name in data if name != "id"},
            )
        self.report(
            data, f"Tenant {tenant.slug} ({tenant.pk}).", as_json=options["json"]
        )
