"""The database, or the server, is lost while providers are at work.

An answer that was paid for is delivered, and the books hear of it later; a call whose
end nobody saw is closed as `unknown`. Either has one receipt.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import pytest

from tests.slow.client import Answer
from tests.slow.gateway import (
    ANSWERS,
    FORMS,
    SECRET,
    STREAMED,
    STREAMS,
    Books,
    ask,
    ask_for_stream,
    assert_log_is_clean,
    assert_sound,
    wait_until,
)
from tests.slow.provider import Provider, Scene, streamed, whole
from tests.slow.server import Account, Installation, Server

pytestmark = pytest.mark.slow

DISK_SECONDS = 1  # until a beginning is on the database's disk, which nobody waits for
RECOVERY_SECONDS = 10  # of a server that starts, or a database that is back
# In line for the ledger, and once more as the leader (test_meet_lock has the sum).
ANSWER_SECONDS = 15


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as serving:
        yield serving


@pytest.fixture
def account(installation, provider) -> Account:
    account = installation.new_account("acme")
    once = {"retries": 0}
    url = f"{provider.url}/v1"
    installation.set_provider(account, "custom", url, SECRET, (), once)
    return account


@pytest.fixture
def books(installation, server, account, provider) -> Books:
    return Books(installation, server, account, lambda: len(provider.requests))


class Calls:
    """One call of each form, and streams, none of which is answered before `go_on`."""

    def __init__(self, server: Server, account: Account, provider: Provider) -> None:
        self._server, self._account, self._provider = server, account, provider
        self._released = threading.Event()
        self._pool = ThreadPoolExecutor(len(FORMS) + len(STREAMED))
        self._calls: list[Future[Answer]] = []
        self.orchestration = ""

    def __enter__(self) -> "Calls":
        with self._server.client(self._account) as client:
            started = client.post("/v1/orchestrations", {"agent_id": "maip-agent:a"})
        self.orchestration = started.json()["id"]
        for form in FORMS:
            self._begin([self._released, *whole(ANSWERS[form])], self._ask, form)
        for form in STREAMED:
            half: Scene = [*STREAMS[form][:2], self._released, *STREAMS[form][2:]]
            self._begin(streamed(half), self._ask_for_stream, form)
        return self

    def __exit__(self, *error: object) -> None:
        self._released.set()
        self._pool.shutdown()

    def __len__(self) -> int:
        return len(self._calls)

    def _begin(self, scene: Scene, call: Any, form: str) -> None:
        """Have the provider at work on one more."""
        self._provider.plays(scene)
        self._calls.append(self._pool.submit(call, form))
        wait_until(lambda: len(self._provider.requests) == len(self._calls))

    def _ask(self, form: str) -> Answer:
        named = {"X-Lucid-Orchestration": self.orchestration}
        with self._server.client(self._account) as client:
            return ask(client, form, named if form == "messages" else None)

    def _ask_for_stream(self, form: str) -> Answer:
        with self._server.client(self._account) as client:
            answer, is_whole = ask_for_stream(client, form)
        assert is_whole
        return answer

    def go_on(self) -> list[Answer]:
        self._released.set()
        return [call.result(ANSWER_SECONDS) for call in self._calls]

    def wait_until_broken(self) -> None:
        """Wait until each has lost its connection."""
        for call in self._calls:
            error = call.exception(ANSWER_SECONDS)
            assert isinstance(error, OSError | HTTPException | AssertionError)


def waiting(installation: Installation) -> int:
    return len(list(installation.spool.glob("*/*.json")))


def receipt_ids(answers: list[Answer]) -> set[str]:
    inference, *relayed = answers
    named = {answer.headers["X-Lucid-Receipt-Id"] for answer in relayed}
    return {inference.json()["receipt_id"], *named}


def assert_delivered(answers: list[Answer]) -> None:
    """All that the provider said, and that the receipt is still to come."""
    assert [answer.status for answer in answers] == [200] * len(answers)
    inference, chat, messages, *streams = answers
    assert inference.json()["response"] == "It is covered."
    assert inference.json()["receipt"] is None
    for answer, form in ((chat, "chat"), (messages, "messages")):
        assert answer.json() == ANSWERS[form]
        assert answer.headers["X-Lucid-Receipt-Pending"] == "true"
    for answer, form in zip(streams, STREAMED, strict=True):
        assert answer.body.endswith(STREAMS[form][-1])


def assert_all_recorded(
    calls: Calls, answers: list[Answer], books: Books
) -> list[dict[str, Any]]:
    receipts = books.wait_for_receipts(len(calls))
    assert {receipt["outcome"] for receipt in receipts} == {"completed"}
    assert {receipt["receipt_id"] for receipt in receipts} == receipt_ids(answers)
    return receipts


class TestDatabase:
    @pytest.fixture
    def installation(self, postgresql) -> Installation:
        made: Installation = postgresql
        return made

    def test_lost_after_the_answer(
        self, cluster, installation, server, account, provider, books
    ):
        """So soon after their beginnings that these may not be on its disk yet."""
        with Calls(server, account, provider) as calls:
            cluster.halt("immediate")
            try:
                answers = calls.go_on()
                assert waiting(installation) == len(calls)
            finally:
                cluster.start()
        assert_delivered(answers)
        assert_all_recorded(calls, answers, books)
        wait_until(lambda: waiting(installation) == 0)
        books.assert_complete()
        assert_sound(installation, account)

    def test_lost_and_the_server_too(
        self, cluster, installation, server, account, provider, books
    ):
        """It comes back first, and waits for the database with what it finds."""
        with Calls(server, account, provider) as calls:
            time.sleep(DISK_SECONDS)
            cluster.halt("immediate")
            try:
                answers = calls.go_on()
                server.kill()
                assert waiting(installation) == len(calls)
                before = len(server.log)
                server.start()
                wait_until(lambda: "the spool waits" in server.log[before:])
            finally:
                cluster.start()
        assert_delivered(answers)
        assert_all_recorded(calls, answers, books)
        wait_until(lambda: waiting(installation) == 0)
        books.assert_complete()
        assert_ended(server, account, answers[0], "completed")
        assert_sound(installation, account)
        server.stop()
        assert list(installation.spool.iterdir()) == []


def assert_ended(server: Server, account: Account, answer: Answer, status: str) -> None:
    """The run that was begun for a call alone has ended with it."""
    with server.client(account) as client:
        told = client.read(f"/v1/orchestrations/{answer.json()['orchestration_id']}")
    assert (told["status"], told["inference_count"]) == (status, 1)
    assert told["receipt_id"]


def assert_unknown(server: Server, account: Account, books: Books, run: str) -> None:
    """Each call is closed, visibly: in the log, in its run, in the books."""
    receipts = books.wait_for_receipts(5)
    for receipt in receipts:
        assert (receipt["outcome"], receipt["attempt"]) == ("unknown", 1)
        assert receipt["error"]["code"] == "SERVER_DIED"
        assert receipt["cost"]["source"] == "unpriced"
    books.assert_complete()
    with server.client(account) as client:
        found = client.read("/v1/orchestrations")["orchestrations"]
        status = {told["id"]: told["status"] for told in found}
        assert status.pop(run) == "running"
        ((fresh, ended),) = status.items()
        told = client.read(f"/v1/orchestrations/{fresh}")
        listed = client.read(f"/v1/orchestrations/{run}/inferences")["inferences"]
        costs = client.read("/v1/costs")["totals"]
    assert (ended, told["error"]["code"]) == ("failed", "SERVER_DIED")
    assert told["receipt_id"]
    assert [call["outcome"] for call in listed] == ["unknown"]
    assert (costs["calls"], costs["failed"], costs["unpriced"]) == (5, 5, 5)


class TestServer:
    def test_killed_in_calls(self, installation, server, account, provider, books):
        with Calls(server, account, provider) as calls:
            server.kill()
            calls.wait_until_broken()
            assert installation.calls_under_way(account) == len(calls)
            server.start()
            wait_until(
                lambda: installation.calls_under_way(account) == 0, RECOVERY_SECONDS
            )
        run = calls.orchestration
        assert_unknown(server, account, books, run)
        server.kill()  # once more, and nothing is closed twice
        server.start()
        assert_unknown(server, account, books, run)
        assert_sound(installation, account)
        server.stop()
        assert list(installation.spool.iterdir()) == []

    def test_workers_killed_in_calls(
        self, installation, server, account, provider, books
    ):
        """Gunicorn's master puts others in their place, which close what they left."""
        with Calls(server, account, provider) as calls:
            _, *workers = server.processes
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            calls.wait_until_broken()
            wait_until(
                lambda: installation.calls_under_way(account) == 0, RECOVERY_SECONDS
            )
        assert_unknown(server, account, books, calls.orchestration)
        assert_sound(installation, account)
        assert_log_is_clean(server)
