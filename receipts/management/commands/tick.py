import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError, connection
from django.utils import timezone

from lucid.api.models import IdempotentAnswer

LEDGER_TABLES = ["receipts_receipt", "receipts_tile", "receipts_log"]
UNKNOWN_TO_PLANNER = """
    SELECT relname FROM pg_stat_user_tables WHERE relname = ANY(%s) AND n_live_tup > 0
    AND last_analyze IS NULL AND last_autoanalyze IS NULL
"""


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
        self.forget_answers()
        if connection.vendor == "postgresql":
            self.analyze_new_tables()

    def analyze_new_tables(self) -> None:
        """Give the planner its first statistics at once.

        autovacuum takes up to a minute. Until then every index of a log looks as
        good to the planner, and finding one run_id may read all of the log.
        """
        with connection.cursor() as cursor:
            cursor.execute(UNKNOWN_TO_PLANNER, [LEDGER_TABLES])
            for (table,) in cursor.fetchall():
                cursor.execute(f"ANALYZE {connection.ops.quote_name(table)}")

    def forget_answers(self) -> None:
        age = timedelta(hours=settings.LUCID_IDEMPOTENCY_HOURS)
        forgotten = IdempotentAnswer.objects.forget(before=timezone.now() - age)
        if forgotten:
            self.stdout.write(f"{forgotten} answers to old Idempotency-Keys forgotten")
