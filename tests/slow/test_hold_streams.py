"""Many streams at once: none is cut, and receipts are written as if there were none."""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.orchestrations.provider import chunk, stream
from tests.slow.gateway import (
    SECRET,
    STREAMED,
    Books,
    ask_for_stream,
    assert_log_is_clean,
    assert_sound,
    wait_until,
)
from tests.slow.promises import assert_unavailable
from tests.slow.provider import Provider, streamed
from tests.slow.server import Account, Installation, Server
from tests.slow.writers import report

pytestmark = pytest.mark.slow

STREAMS = 200
MEMORY = 400 << 20  # of all processes
REPORTS = 100
OPENING_SECONDS = 2
SLOWER = 10  # times, while streams are open; two cores run their clients as well
NOTICED = 0.1  # seconds; below that the machine may have had something else to do


@pytest.fixture
def installation(default_installation) -> Installation:
    made: Installation = default_installation
    return made


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as serving:
        yield serving


@pytest.fixture
def account(installation, provider) -> Account:
    account = installation.new_account("acme")
    url, numbers = f"{provider.url}/v1", {"concurrency": 2 * STREAMS}
    installation.set_provider(account, "custom", url, SECRET, (), numbers)
    return account


def p95(server: Server, account: Account, name: str) -> float:
    """Return how long the slowest twentieth of receipts takes, in seconds."""
    seconds = []
    with server.client(account) as client:
        for number in range(REPORTS):
            start = time.monotonic()
            assert report(client, f"{name}-{number}").status == 200
            seconds.append(time.monotonic() - start)
    return statistics.quantiles(seconds, n=20)[-1]


def test_streams_are_held_while_receipts_are_written(
    installation, server, account, provider
):
    quiet = p95(server, account, "quiet")
    idle = server.memory()
    books = Books(installation, server, account, lambda: len(provider.requests))
    released = threading.Event()
    text = [chunk(f"{number} ") for number in range(20)]
    # Each sends something four times a second while all are open.
    slowly = [it for piece in text for it in (piece, 0.25)]
    end = stream()
    provider.plays(streamed([*slowly, released, *end]))
    shown = b"".join(text) + b"".join(it for it in end if b'"usage": {"pr' not in it)

    refused = []

    def follow(number: int) -> bool:
        time.sleep(number * OPENING_SECONDS / STREAMS)
        while True:  # as clients do: workers get connections by chance, not in turn
            with server.client(account) as client:
                answer, is_whole = ask_for_stream(client, "chat")
            if answer.status != 503:
                return (answer.status, answer.body, is_whole) == (200, shown, True)
            refused.append(number)
            time.sleep(float(answer.headers["Retry-After"]))

    with ThreadPoolExecutor(STREAMS) as pool:
        following = [pool.submit(follow, number) for number in range(STREAMS)]
        try:
            wait_until(lambda: len(provider.requests) == STREAMS, 30)
            busy = p95(server, account, "busy")
            assert not any(it.done() for it in following)
            held = server.memory()
        finally:
            released.set()
        delivered = [it.result() for it in following]
    print(
        f"p95 of a receipt {quiet * 1000:.1f} ms, {busy * 1000:.1f} ms with"
        f" {STREAMS} streams; memory {idle >> 20} MB, {held >> 20} MB;"
        f" {len(refused)} were refused at first"
    )
    assert delivered == [True] * STREAMS
    assert busy < max(SLOWER * quiet, NOTICED)
    assert held < MEMORY
    receipts = books.wait_for_receipts(STREAMS)
    assert {receipt["outcome"] for receipt in receipts} == {"completed"}
    books.assert_complete()
    assert_sound(installation, account)


def test_what_is_beyond_is_refused_at_once(installation, account, provider):
    few = 3
    settings = {"LUCID_WORKERS": "1", "LUCID_GATEWAY_CALLS": str(few)}
    released = threading.Event()
    provider.plays(streamed([chunk("a"), released, *stream()]))
    with installation.server(**settings) as server, ThreadPoolExecutor(few) as pool:

        def follow(form: str) -> bool:
            with server.client(account) as client:
                return ask_for_stream(client, form)[1]

        following = [pool.submit(follow, "chat") for _ in range(few)]
        try:
            wait_until(lambda: len(provider.requests) == few)
            with server.client(account) as client:
                for path, body in STREAMED.values():
                    start = time.monotonic()
                    assert_unavailable(client.post(path, body))
                    assert time.monotonic() - start < 1
                assert report(client, "run-1").status == 200
        finally:
            released.set()
        assert [it.result() for it in following] == [True] * few
        assert follow("chat")  # and there is room again
        assert len(provider.requests) == few + 1
        assert_log_is_clean(server)
    assert_sound(installation, account)
