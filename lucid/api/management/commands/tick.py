import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lucid.api.ticks import tasks


class Command(BaseCommand):
    help = (
        "Do the work that repeats: end orchestrations whose time is over, forget"
        " answers to old Idempotency-Keys. Safe to run at any time and any number of"
        " times; meant for a timer."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=int, metavar="SECONDS", help="repeat until interrupted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        while options["every"]:
            # What failed now, as the database is restarting say, is done by the next.
            self.tick()
            time.sleep(options["every"])
        if failed := self.tick():
            raise CommandError(f"not done: {', '.join(failed)}")

    def tick(self) -> list[str]:
        """Do each task, and return the names of those that failed."""
        failed = []
        for name, task in tasks.items():
            try:
                done = task()
            except Exception as error:
                # One task's trouble is not another's.
                self.stderr.write(f"tick: {name}: {type(error).__name__}: {error}")
                failed.append(name)
            else:
                if done:
                    self.stdout.write(done)
        return failed
