"""Load with a memory: threads that report runs and keep what they were answered."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPException
from typing import Any, Self

from tests.caller import RUN
from tests.slow.client import Answer, Client
from tests.slow.server import Account, Server

Receipt = dict[str, Any]

PATIENCE = 40  # seconds that a test waits for writers to get somewhere
RETRY_SECONDS = 0.1  # between repeats of a refused run; kinder clients wait longer


class Writers:
    """`count` threads, each with a connection of its own and one run at a time.

    A refused run is repeated until it is answered 200, as an SDK does; a writer
    whose connection breaks stops. They write while entered.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        account: Account,
        count: int,
        runs: int | None = None,  # of each writer; None is without end
    ) -> None:
        self.receipts: dict[str, Receipt] = {}  # run_id -> answered with 200
        self.unanswered: set[str] = set()  # run_ids sent and not answered with 200
        self.refusals: list[Answer] = []
        self.failures: list[Exception] = []  # in the place of an answer
        self.slowest = 0.0  # seconds that an answer took
        self._account = account
        self._runs = runs
        self._answered: dict[int, set[int]] = {}  # status -> numbers of writers
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number, server))
            for number, server in zip(range(count), itertools.cycle(servers))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        """Write what there is to write."""
        with self:
            self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a writer hangs"

    def wait_for_receipts(self, count: int) -> None:
        """Wait for so many more receipts than there are now."""
        wanted = len(self.receipts) + count
        self._wait_for(lambda: len(self.receipts) >= wanted)

    def wait_for_each(self, status: int, seconds: float = PATIENCE) -> None:
        """Wait until every writer has got one more answer of that status."""
        with self._news:
            self._answered[status] = set()
        everybody = len(self._threads)
        self._wait_for(lambda: len(self._answered[status]) == everybody, seconds)

    def _wait_for(
        self, condition: Callable[[], bool], seconds: float = PATIENCE
    ) -> None:
        with self._news:
            assert self._news.wait_for(condition, seconds), self._summary()

    def _summary(self) -> str:
        answered = {status: len(who) for status, who in self._answered.items()}
        return (
            f"{len(self.receipts)} receipts, {len(self.refusals)} refusals,"
            f" failures {self.failures[:3]}, writers by last answer {answered}"
        )

    def _write(self, number: int, server: Server) -> None:
        runs = itertools.count() if self._runs is None else range(self._runs)
        with server.client(self._account) as client:
            for run in runs:
                if not self._report(client, number, f"run-{number}-{run}"):
                    return

    def _report(self, client: Client, number: int, run_id: str) -> bool:
        """Report a run until it has a receipt; say whether to go on."""
        self.unanswered.add(run_id)
        while not self._stopping.is_set():
            start = time.monotonic()
            try:
                answer = report(client, run_id)
            except (OSError, HTTPException) as error:
                self.failures.append(error)
                return False
            self._note(number, run_id, answer, time.monotonic() - start)
            if answer.status == 200:
                return True
            self._stopping.wait(RETRY_SECONDS)
        return False

    def _note(self, number: int, run_id: str, answer: Answer, seconds: float) -> None:
        with self._news:
            self.slowest = max(self.slowest, seconds)
            self._answered.setdefault(answer.status, set()).add(number)
            if answer.status == 200:
                self.receipts[run_id] = answer.json()["receipt"]
                self.unanswered.discard(run_id)
            else:
                self.refusals.append(answer)
            self._news.notify_all()


def report(client: Client, run_id: str) -> Answer:
    return client.post("/v1/receipts", RUN | {"run_id": run_id})
