from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from tenants import events
from tenants.commands import JsonCommand, full_clean
from tenants.models import Tenant


class Command(JsonCommand):
    help = "Create a tenant. Its logs and signing keys are made when first needed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "slug", help="its name in URLs and in the origin of its log"
        )
        parser.add_argument("--name", help="its name for people; default: the slug")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["slug"]
        tenant = Tenant(slug=slug, name=options["name"] or slug)
        full_clean(tenant)
        data = {"id": tenant.pk, "slug": tenant.slug, "name": tenant.name}
        with transaction.atomic():
            tenant.save()
            events.record(
                events.command_line(),
                "tenant.created",
                tenant_id=tenant.pk,
                kind="tenant",
                object_id=tenant.slug,
                after={"slug": tenant.slug, "name": tenant.name},
            )
        self.report(
            data, f"Tenant {tenant.slug} ({tenant.pk}).", as_json=options["json"]
        )
