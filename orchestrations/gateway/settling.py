"""From what was seen of a call to its receipt, sooner or later and exactly once.

The attempt's row goes and the receipt comes in one transaction, and the receipt's id
and run_id are the attempt's: however often this is tried, and by whoever, there is
one. While the ledger cannot be written to, what was seen waits in the spool.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from lucid.api.errors import DATABASE_UNAVAILABLE
from lucid.isolation import across_tenants, working_for
from orchestrations import models
from orchestrations.books import RUN_IS_OVER, OrchestrationBooks
from orchestrations.gateway.attempts import SERVER_DIED, Attempt, Seen
from orchestrations.gateway.spool import Spool, Spooled
from orchestrations.gateway.witnessing import signable_text, witnessed
from orchestrations.models import Outcome
from orchestrations.money import to_nanocents
from orchestrations.recording import Facts, facts_of
from orchestrations.work import Call, Scope, Settle
from receipts.keyring import Keyring, keyring_for
from receipts.ledger import (
    Conflict,
    LedgerUnavailable,
    Result,
    StaleKeyring,
    Submission,
    append,
)
from receipts.models import with_extras

logger = logging.getLogger(__name__)

ATTEMPTS = 3  # at signing, while keys keep changing
NOT_BEGUN = "The call could not be begun, as the ledger was not available."

Item = TypeVar("Item")
Of = ParamSpec("Of")
Done = TypeVar("Done")


def _for_its_tenant(
    act: Callable[Concatenate[Attempt, Of], Done],
) -> Callable[Concatenate[Attempt, Of], Done]:
    """Work for the attempt's tenant: a stream ends, and a spool is emptied, when the
    request that began the attempt is over.
    """

    @wraps(act)
    def act_for_tenant(
        attempt: Attempt, /, *arguments: Of.args, **named: Of.kwargs
    ) -> Done:
        with working_for(attempt.tenant_id):
            return act(attempt, *arguments, **named)

    return act_for_tenant


@dataclass(frozen=True, slots=True)
class Settled:
    """The receipt's id, and the receipt; None while it waits in the spool."""

    receipt_id: UUID
    receipt: dict[str, Any] | None


def settle(
    attempt: Attempt, seen: Seen, facts: Facts | None, keyring: Keyring, spool: Spool
) -> Settled:
    """Record what was seen; it is durable when this returns, and nothing is raised.

    An answer that was paid for is worth more than our books: whatever keeps it out
    of them, the caller gets it.
    """
    try:
        logged = record(attempt, seen, facts, keyring)
    except (LedgerUnavailable, *DATABASE_UNAVAILABLE) as error:
        logger.warning("%s waits in the spool: %s", attempt.receipt_id, error)
    except Exception:
        logger.exception("%s waits in the spool", attempt.receipt_id)
    else:
        return Settled(attempt.receipt_id, _shown(logged))
    try:
        spool.put(Spooled(attempt, seen))
    except Exception:
        # The attempt's row is left, which in time is closed as `unknown`.
        logger.exception("%s is lost: %s", attempt.receipt_id, seen)
    return Settled(attempt.receipt_id, None)


@_for_its_tenant
def record(
    attempt: Attempt, seen: Seen, facts: Facts | None, keyring: Keyring | None = None
) -> Result:
    """Write the receipt; return its place in the log. Raises LedgerUnavailable.

    A Conflict says that the log has another account of this attempt, which stays.
    """
    is_late = False
    for _ in range(ATTEMPTS):
        keyring = keyring or keyring_for(attempt.tenant_id, attempt.mode)
        call = witnessed(attempt, seen, facts, keyring, is_late=is_late)
        try:
            result = _append(attempt, seen, call, keyring, is_late=is_late)
        except StaleKeyring:
            keyring = None
            continue
        if result is RUN_IS_OVER:
            is_late = True
            continue
        logged: Result = result
        return logged
    raise LedgerUnavailable


def _shown(result: Result) -> dict[str, Any] | None:
    if isinstance(result, Conflict):
        return None
    return with_extras(result.members, result.receipt_id, result.leaf_index)


@_for_its_tenant
def withdraw(
    attempt: Attempt, keyring: Keyring | None = None, message: str = NOT_BEGUN
) -> None:
    """Take back a call that was not made. Raises LedgerUnavailable."""
    seen = Seen(outcome=Outcome.FAILED, error_code="NOT_CALLED", error_message=message)
    for _ in range(ATTEMPTS):
        keyring = keyring or keyring_for(attempt.tenant_id, attempt.mode)
        try:
            _append(attempt, seen, None, keyring, is_late=False)
        except StaleKeyring:
            keyring = None
            continue
        return
    raise LedgerUnavailable


def _append(
    attempt: Attempt, seen: Seen, call: Call | None, keyring: Keyring, *, is_late: bool
) -> Any:  # Result; None without a call; or RUN_IS_OVER
    ends = attempt.ends_run and seen.is_final and not is_late
    work = Settle(
        Scope(attempt.tenant_id, attempt.mode),
        "" if is_late else attempt.orchestration_id,
        attempt.row(),
        call,
        _step(attempt, seen, call) if ends and call else None,
        _ending(seen) if ends else None,
    )
    entries = [call.entry] if call else []
    submission = Submission(keyring, entries, books=OrchestrationBooks, work=work)
    (result,) = append(submission).results
    return result


def _step(attempt: Attempt, seen: Seen, call: Call) -> dict[str, Any]:
    """Return the one step of a run that was begun for this call."""
    return {
        "action": models.Step.Action.LLM_INFERENCE.value,
        "name": attempt.model,
        "agent_id": attempt.agent_id,
        "result": {
            "receipt_id": str(attempt.receipt_id),
            "outcome": seen.outcome.value,
        },
        "duration_ms": seen.latency_ms,
        "cost": call.cost,
        "input_hash": attempt.input_hash,
        "output_hash": seen.output_hash or "",
    }


def _ending(seen: Seen) -> tuple[str, dict[str, Any]]:
    status = models.Orchestration.Status
    if seen.outcome == Outcome.COMPLETED:
        output = {"output_hash": seen.output_hash} if seen.output_hash else {}
        return status.COMPLETED.value, output
    code = seen.error_code or seen.outcome.upper()
    message = signable_text(seen.error_message or "")
    return status.FAILED.value, {"error": {"code": code, "message": message}}


# Later


def settle_spooled(spool: Spool) -> int:
    """Record what waits in a spool; return how much it was. Raises as `_each` does."""

    def settle_file(file: Path) -> int:
        attempt, seen = spool.read(file)
        if isinstance(record(attempt, seen, _facts(attempt)), Conflict):
            # Closed as `unknown` when it was overdue; what stands in a log stays.
            logger.error("%s has another receipt: %s", attempt.receipt_id, seen)
        file.unlink()
        return 1

    return _each(spool.files(), settle_file)


def close_dead_workers() -> int:
    """Settle what workers of this machine that ended have left; return how much.

    First what they have seen of calls, then, as `unknown`, the calls they were at.
    Raises as `_each` does.
    """
    folder = Path(settings.LUCID_SPOOL_DIR)
    return _each(Spool.of_dead_workers(folder), _close_dead_worker)


def _close_dead_worker(spool: Spool) -> int:
    tasks: list[Callable[[Spool], int]] = [settle_spooled, _close_unseen]
    try:
        closed = _each(tasks, lambda task: task(spool))
        spool.remove()
    finally:
        spool.close()
    return closed


def _close_unseen(spool: Spool) -> int:
    # Of a call with a file we know more, though it cannot be recorded now.
    known = {file.stem for file in spool.files()}
    with across_tenants():
        rows = list(models.Attempt.objects.filter(worker_id=spool.worker_id))
    left = [row for row in rows if str(row.receipt_id) not in known]
    return _each(left, _close_as_unknown)


def close_overdue() -> int:
    """Close as `unknown` the calls at which nobody can still be; return how many.

    Those of machines that did not come back. Raises as `_each` does.
    """
    with across_tenants():
        rows = models.Attempt.objects.filter(deadline__lt=timezone.now())
        overdue = list(rows.order_by("deadline"))
    return _each(overdue, _close_as_unknown)


def _close_as_unknown(row: models.Attempt) -> int:
    attempt = attempt_of(row)
    record(attempt, SERVER_DIED, _facts(attempt))
    return 1


def _each(items: Iterable[Item], settle: Callable[[Item], int]) -> int:
    """Settle one after another; return the sum of what was.

    Raises LedgerUnavailable. An item that cannot be settled for another reason does
    not hold up the others: it stays, and in the end RuntimeError says so.
    """
    settled, failed = 0, 0
    for item in items:
        try:
            settled += settle(item)
        except (LedgerUnavailable, *DATABASE_UNAVAILABLE):
            raise
        except Exception:
            logger.exception("%s cannot be settled", item)
            failed += 1
    if failed:
        raise RuntimeError(f"{failed} of what calls left could not be settled")
    return settled


def attempt_of(row: models.Attempt) -> Attempt:
    values = {name: getattr(row, name) for name in Attempt.__struct_fields__}
    return Attempt(**values | {"reserved": to_nanocents(row.reserved)})


@_for_its_tenant
def _facts(attempt: Attempt) -> Facts | None:
    name = attempt.orchestration_id
    return facts_of(name, attempt.tenant_id, attempt.mode) if name else None
