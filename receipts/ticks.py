"""What `manage.py tick` does for the ledger."""

from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from lucid.api.models import IdempotentAnswer
from lucid.api.ticks import at_every_tick
from lucid.isolation import across_tenants
from receipts.key_changes import end_overlaps


@at_every_tick
def forget_answers() -> str | None:
    age = timedelta(hours=settings.LUCID_IDEMPOTENCY_HOURS)
    with across_tenants():
        forgotten = IdempotentAnswer.objects.forget(before=timezone.now() - age)
    if not forgotten:
        return None
    return f"{forgotten} answers to old Idempotency-Keys forgotten"


@at_every_tick
def end_key_overlaps() -> str | None:
    ended = end_overlaps()
    return f"{ended} checkpoint keys retired" if ended else None


@at_every_tick
def analyze_new_tables() -> None:
    """Give the planner its first statistics at once.

    autovacuum takes up to a minute. Until then every index of a log looks as good to
    the planner, and finding one run_id may read all of the log.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT receipts_analyze_new()")
