"""Runs whose time is over are ended by whoever looks first."""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from lucid.isolation import across_tenants, working_for
from orchestrations.books import OrchestrationBooks
from orchestrations.models import Orchestration
from orchestrations.work import End, Scope
from receipts.keyring import keyring_for
from receipts.ledger import LedgerUnavailable, StaleKeyring, Submission, append

logger = logging.getLogger(__name__)

Status = Orchestration.Status

ATTEMPTS = 3  # at signing, while keys keep changing
AT_ONCE = 100  # runs, before a list is shown

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


def settle_due(tenant_id: UUID, mode: str) -> int:
    """End those of a tenant's runs whose time is over, as many as can be waited for.

    Raises LedgerUnavailable.
    """
    runs = Orchestration.objects.filter(tenant_id=tenant_id, mode=mode)
    due = runs.filter(status=Status.RUNNING, expires_at__lte=timezone.now())
    return settle(due.order_by("expires_at")[:AT_ONCE])


def look_at(name: str, tenant_id: UUID, mode: str) -> Orchestration | None:
    """Return a run of that tenant and mode, ended first if its time is over.

    Raises LedgerUnavailable.
    """
    run = find(name, tenant_id, mode)
    return find(name, tenant_id, mode) if run and settle([run]) else run


def find(name: str, tenant_id: UUID, mode: str) -> Orchestration | None:
    runs = Orchestration.objects.filter(pk=name, tenant_id=tenant_id, mode=mode)
    return runs.first()


def settle_all() -> int:
    """End the runs of every tenant whose time is over, oldest first.

    One that cannot be ended does not hold up the others: it is logged, and at the
    end RuntimeError says that there are such.
    """
    with across_tenants():
        running = Orchestration.objects.filter(status=Status.RUNNING)
        due = running.filter(expires_at__lte=timezone.now()).order_by("expires_at")
        found = list(due.values_list("tenant_id", "pk"))
    settled, failed = 0, 0
    for tenant_id, name in found:
        try:
            with working_for(tenant_id):
                settled += settle(Orchestration.objects.filter(pk=name))
        except Exception:
            logger.exception("%s cannot be ended", name)
            failed += 1
    if failed:
        raise RuntimeError(f"{failed} overdue orchestrations could not be ended")
    return settled


def is_due(run: Orchestration, now: datetime) -> bool:
    return run.status == Status.RUNNING and run.expires_at <= now


def end(run: Orchestration, status: str, ending: dict[str, Any], *, due: bool) -> None:
    """End a run on our own account, if nobody has. Raises LedgerUnavailable."""
    scope = Scope(run.tenant_id, run.mode)
    work = End(scope, run.pk, str(status), ending, due)  # no JSON has an enum
    for _ in range(ATTEMPTS):
        keyring = keyring_for(run.tenant_id, run.mode)
        try:
            append(Submission(keyring, [], books=OrchestrationBooks, work=work))
        except StaleKeyring:
            continue
        return
    raise LedgerUnavailable
