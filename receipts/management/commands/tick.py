import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError
from django.utils import timezone

from lucid.api.models import IdempotentAnswer


class Command(BaseCommand):
    help = (
        "Do the work that repeats: forget answers to old Idempotency-Keys. Safe to"
        " run at any time and any number of times; meant for a timer."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=int, metavar="SECONDS", help="repeat until interrupted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["every"]:
            self.tick()
            return
        while True:
            try:
                self.tick()
            except OperationalError as error:
                # The database is restarting, say; the next tick catches up.
                self.stderr.write(f"tick: {error}")
            time.sleep(options["every"])

    def tick(self) -> None:
        age = timedelta(hours=settings.LUCID_IDEMPOTENCY_HOURS)
        forgotten = IdempotentAnswer.objects.forget(before=timezone.now() - age)
        if forgotten:
            self.stdout.write(f"{forgotten} answers to old Idempotency-Keys forgotten")
