"""This process at its calls: which of them it has, and how many it may have at once."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import connection

from lucid.api.errors import DATABASE_UNAVAILABLE, ApiError, Code
from orchestrations.gateway.attempts import Attempt, Seen
from orchestrations.gateway.settling import (
    Settled,
    close_dead_workers,
    settle,
    settle_spooled,
    withdraw,
)
from orchestrations.gateway.spool import Spool
from orchestrations.recording import Facts
from receipts.keyring import Keyring
from receipts.ledger import LedgerUnavailable

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1  # at what is in the spool
MAX_RETRY_SECONDS = 60


class Slots:
    """Calls that this process may have under way, each on a thread of its own."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count
        self._taken = 0

    @property
    def are_free(self) -> bool:
        return self._taken == 0

    def take(self) -> None:
        """Take one; raises the 503 at once when there is none."""
        with self._lock:
            if self._taken < self._count:
                self._taken += 1
                return
        raise ApiError(
            Code.UNAVAILABLE,
            f"This server has {self._count} calls under way, all that it can have."
            " Try again in a moment.",
        )

    def give_back(self) -> None:
        with self._lock:
            self._taken -= 1


class Worker:
    def __init__(self) -> None:
        self.slots = Slots(settings.LUCID_GATEWAY_CALLS)
        self.spool = Spool.create(Path(settings.LUCID_SPOOL_DIR))
        self._is_waiting = threading.Event()
        self._not_made: deque[Attempt] = deque()
        atexit.register(self._leave)

    def _leave(self) -> None:
        # What is in the spool and what is under way are left to the next worker.
        if self.slots.are_free and not self.spool.files():
            with suppress(OSError):
                self.spool.remove()

    def settle(
        self, attempt: Attempt, seen: Seen, facts: Facts | None, keyring: Keyring
    ) -> Settled:
        settled = settle(attempt, seen, facts, keyring, self.spool)
        if settled.receipt is None:
            self._is_waiting.set()
        return settled

    def take_back(self, attempt: Attempt) -> None:
        """Have an attempt forgotten, if it was begun at all: no call was made."""
        self._not_made.append(attempt)
        self._is_waiting.set()

    def recover(self) -> None:
        """Settle what dead workers left, then whatever comes to be in the spool.

        Does not return; for a thread of its own.
        """
        self._is_waiting.set()
        while True:
            self._is_waiting.wait()
            self._is_waiting.clear()
            _until_done(self._catch_up)

    def _catch_up(self) -> None:
        try:
            self.withdraw_not_made()
            settle_spooled(self.spool)
        finally:  # theirs do not hold up ours, nor ours theirs
            close_dead_workers()

    def withdraw_not_made(self) -> None:
        while self._not_made:
            withdraw(self._not_made[0])
            self._not_made.popleft()


def _until_done(task: Callable[[], None]) -> None:
    seconds = RETRY_SECONDS
    while True:
        try:
            task()
        except (LedgerUnavailable, *DATABASE_UNAVAILABLE):
            logger.warning("the spool waits for the database")
        except Exception:
            logger.exception("the spool waits")
            seconds = min(2 * seconds, MAX_RETRY_SECONDS)
        else:
            return
        finally:
            connection.close()
        time.sleep(seconds)


_lock = threading.Lock()
_worker: Worker | None = None


def this_worker() -> Worker:
    """Return this process's worker, made when it is first asked for."""
    global _worker
    with _lock:
        _worker = _worker or Worker()
        return _worker


def start() -> None:
    """Begin to recover, in the background."""
    threading.Thread(
        target=this_worker().recover, name="gateway-recovery", daemon=True
    ).start()
