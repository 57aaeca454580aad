"""Group commit: threads with something to write share one transaction.

There is no writer thread. The thread that finds nobody writing leads: it commits
all that is waiting, its own item first in line, then hands leadership to the
thread that has waited longest. A lone client pays for no hand-over; under load
each transaction takes along everything that came in during the one before. A
leader leads once, so that no client waits for the work of others; and as whoever
waits can lead, there is no writer whose death could leave them waiting.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TimedOut(Exception):
    """The item was not committed in time. Whether it still will be is unknown."""


class _Ticket(Generic[Item]):
    """An item in line. `wake` is released once: to lead, or because it is done."""

    __slots__ = ("error", "item", "leads", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.leads = False
        self.error: BaseException | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


class GroupCommit(Generic[Item]):
    """Calls `commit` with lists of at most `limit` items, never twice at a time."""

    def __init__(self, commit: Callable[[Sequence[Item]], None], limit: int) -> None:
        self._commit = commit
        self._limit = limit
        self._mutex = threading.Lock()
        # Whenever anybody waits, somebody leads (both under the mutex).
        self._waiting: deque[_Ticket[Item]] = deque()
        self._led = False

    def submit(self, item: Item, timeout: float) -> None:
        """Return when `commit` has returned for a list with the item in it.

        Raises what `commit` raised, or TimedOut after `timeout` seconds in line.
        """
        ticket = _Ticket(item)
        with self._mutex:
            self._waiting.append(ticket)
            ticket.leads, self._led = not self._led, True
        if not ticket.leads and not ticket.wake.acquire(timeout=timeout):
            self._give_up(ticket)
        if ticket.leads:
            self._lead()
        if ticket.error:
            raise ticket.error

    def _give_up(self, ticket: _Ticket[Item]) -> None:
        with self._mutex:
            if ticket.leads:
                return  # chosen this very moment: nobody else would lead
            if ticket in self._waiting:
                self._waiting.remove(ticket)
        raise TimedOut

    def _lead(self) -> None:
        with self._mutex:
            count = min(len(self._waiting), self._limit)
            batch = [self._waiting.popleft() for _ in range(count)]
        try:
            self._commit([ticket.item for ticket in batch])
        except BaseException as error:  # each waiting thread raises it
            for ticket in batch:
                ticket.error = error
        finally:
            self._hand_over()
            for ticket in batch[1:]:  # the first is the leader's own
                ticket.wake.release()

    def _hand_over(self) -> None:
        with self._mutex:
            successor = self._waiting[0] if self._waiting else None
            if successor:
                successor.leads = True
            self._led = successor is not None
        if successor:
            successor.wake.release()
