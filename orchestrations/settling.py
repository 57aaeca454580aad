"""Runs whose time is over are ended by whoever looks first."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from orchestrations.books import End, OrchestrationBooks, Scope
from orchestrations.models import Orchestration
from receipts.keyring import keyring_for
from receipts.ledger import LedgerUnavailable, StaleKeyring, Submission, append

Status = Orchestration.Status

AT_ONCE = 100  # runs
ATTEMPTS = 3  # at signing, while keys keep changing

TIMED_OUT = {
    "error": {"code": "TIMEOUT", "message": "timeout_seconds passed without an end."}
}


def settle(runs: Iterable[Orchestration]) -> int:
    """End as `timeout` those of the runs whose time is over; return how many were.

    Raises LedgerUnavailable. Running twice at once is harmless: one ends the run.
    """
    due = [run for run in runs if is_due(run, timezone.now())]
    for run in due:
        end(run, Status.TIMEOUT, TIMED_OUT, due=True)
    return len(due)


def settle_all() -> int:
    """End the runs of every tenant whose time is over, oldest first."""
    running = Orchestration.objects.filter(status=Status.RUNNING)
    total = 0
    while True:
        due = running.filter(expires_at__lte=timezone.now()).order_by("expires_at")
        settled = settle(due[:AT_ONCE])
        total += settled
        if settled < AT_ONCE:
            return total


def is_due(run: Orchestration, now: datetime) -> bool:
    return run.status == Status.RUNNING and run.expires_at <= now


def end(run: Orchestration, status: str, ending: dict[str, Any], *, due: bool) -> None:
    """End a run on our own account, if nobody has. Raises LedgerUnavailable."""
    scope = Scope(run.tenant_id, run.mode)
    work = End(scope, run.pk, status, ending, due)
    for _ in range(ATTEMPTS):
        keyring = keyring_for(run.tenant_id, run.mode)
        try:
            append(Submission(keyring, [], books=OrchestrationBooks, work=work))
        except StaleKeyring:
            continue
        return
    raise LedgerUnavailable
