import json
import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lucid.api.connections import discard_dead
from lucid.api.errors import DATABASE_UNAVAILABLE
from lucid.api.models import TickRun
from lucid.api.ticks import run_task, tasks

KEPT = timedelta(days=7)


class Command(BaseCommand):
    help = (
        "Do the work that repeats: end orchestrations whose time is over, forget"
        " answers to old Idempotency-Keys. Safe to run at any time and any number of"
        " times; meant for a timer. Exits 1 and names the tasks that failed; runs are"
        " in the admin for a week."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--every", type=int, metavar="SECONDS", help="repeat until interrupted"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON object, a line for each time, and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        while options["every"]:
            # What failed now, as the database is restarting say, is done by the next.
            self.tick(options["json"])
            time.sleep(options["every"])
        failed = [run.task for run in self.tick(options["json"]) if not run.ok]
        if failed:
            raise CommandError(f"not done: {', '.join(failed)}")

    def tick(self, as_json: bool) -> list[TickRun]:
        """Do each task, and tell of each that did something or failed."""
        runs = []
        for name in tasks:
            run = run_task(name)
            self.keep(run)
            if not as_json:
                self.tell(run)
            runs.append(run)
        if as_json:
            self.stdout.write(json.dumps({"tasks": [_as_json(run) for run in runs]}))
            self.stdout.flush()
        return runs

    def keep(self, run: TickRun) -> None:
        try:
            TickRun.objects.keep(run)
            TickRun.objects.forget(before=timezone.now() - KEPT)
        except DATABASE_UNAVAILABLE as error:
            self.stderr.write(f"tick: {run.task} is not on record: {error}")
            discard_dead()  # the next task asks for a connection of its own

    def tell(self, run: TickRun) -> None:
        if not run.ok:
            self.stderr.write(f"tick: {run.task}: {run.said}")
        elif run.said:
            self.stdout.write(run.said)


def _as_json(run: TickRun) -> dict[str, Any]:
    return {
        "task": run.task,
        "ok": run.ok,
        "said": run.said,
        "started_at": run.started_at.isoformat(),
        "seconds": round(run.duration.total_seconds(), 3),
    }
