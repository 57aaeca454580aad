"""Clients of a model server, as cheap as Python has them: raw sockets, kept alive."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from bench.load import TIMEOUT_SECONDS, LoadFailed

STAMP = re.compile(rb"\[(\d+) (\d+)\]")  # see bench.model_server
TIMED = re.compile(rb'"(?:prompt|predicted)_ms":([0-9.]+)')  # by llama.cpp
END_OF_CHUNKS = b"\r\n0\r\n\r\n"
AT_LEAST = 10  # calls of a slow model


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where calls go, and the one request that they make."""

    url: str
    body: dict[str, Any]
    key: str = ""

    def request(self) -> bytes:
        body = msgspec.json.encode(self.body)
        parts = urlsplit(self.url)
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Authorization: Bearer {self.key or 'none'}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Call:
    """What a client saw of one call, in nanoseconds.

    `total` is to the whole answer, of a stream to its first chunk; `held` is how much
    of it the model server spent, and `before` how much went by until the model server
    had the request. `delays` are of chunks, from one's writing to another's reading.
    """

    status: int = 0
    total: int = 0
    before: int = 0
    held: int = 0
    delays: list[int] = field(default_factory=list)
    whole: bool = False

    @property
    def overhead(self) -> int:
        return self.total - self.held


class Connection:
    def __init__(self, endpoint: Endpoint) -> None:
        parts = urlsplit(endpoint.url)
        address = (parts.hostname or "", parts.port or 0)
        self._socket = socket.create_connection(address, timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = endpoint.request()

    def call(self) -> Call:
        """Make the request; a connection that ends leaves a call that is not whole."""
        call, answer, stamped = Call(), b"", 0
        start = time.monotonic_ns()
        self._socket.sendall(self._request)
        while not call.whole:
            data = self._socket.recv(1 << 16)
            now = time.monotonic_ns()
            if not data:
                return call
            answer += data
            for found in STAMP.finditer(answer, stamped):
                stamped = found.end()
                received, sent = map(int, found.groups())
                if not call.delays:
                    call.total = now - start
                    call.before, call.held = received - start, sent - received
                call.delays.append(now - sent)
            call.whole = _is_whole(answer)
        call.status = int(answer[9:12])
        call.total = call.total or now - start
        call.held = call.held or round(1e6 * sum(map(float, TIMED.findall(answer))))
        return call

    def close(self) -> None:
        self._socket.close()


def _is_whole(answer: bytes) -> bool:
    head, blank, body = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    _, named, rest = head.lower().partition(b"content-length:")
    if named:
        return len(body) >= int(rest.split(b"\r\n")[0])
    return body.endswith(END_OF_CHUNKS)


def run(endpoint: Endpoint, clients: int, seconds: float) -> list[Call]:
    """Make calls one after another from each client; raises LoadFailed for any error.

    The first call of a client, which connects, does not count.
    """
    barrier = threading.Barrier(clients)

    def loop() -> list[Call]:
        connection = Connection(endpoint)
        calls = [connection.call()]
        barrier.wait(TIMEOUT_SECONDS)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            calls.append(connection.call())
        connection.close()
        return calls

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(loop) for _ in range(clients)]
        calls = [call for future in futures for call in future.result()[1:]]
    _check(calls)
    return calls


def alternate(endpoints: Sequence[Endpoint], seconds: float) -> list[list[Call]]:
    """Make single calls of each endpoint in turn, and return those of each.

    As many of each as there is time for, and AT_LEAST; each on a connection of its
    own, as a server may end those that wait for another's slow model.
    """
    calls: list[list[Call]] = [[] for _ in endpoints]
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(calls[0]) < AT_LEAST:
        for endpoint, made in zip(endpoints, calls, strict=True):
            made.append(_call_once(endpoint))
            _check(made[-1:])
    return calls


def wait_until_ready(endpoint: Endpoint) -> None:
    """Return once a call succeeds: some models load while their server listens."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (call := _call_once(endpoint)).status != 200:
        if time.monotonic() > deadline:
            _check([call])
        time.sleep(0.2)


def _call_once(endpoint: Endpoint) -> Call:
    connection = Connection(endpoint)
    try:
        return connection.call()
    finally:
        connection.close()


def _check(calls: Sequence[Call]) -> None:
    failed = [call for call in calls if call.status != 200]
    if failed or not calls:
        raise LoadFailed(f"{len(failed)} of {len(calls)} calls failed: {failed[:1]}")


def open_streams(
    endpoint: Endpoint, count: int, seconds: float
) -> Iterator[list[Future[Call]]]:
    """Open streams one after another within `seconds`, each on its own connection.

    Yields the calls twice a second until all of them are done.
    """

    def stream(number: int) -> Call:
        time.sleep(number * seconds / count)
        return _call_once(endpoint)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(stream, number) for number in range(count)]
        while not all(future.done() for future in futures):
            time.sleep(0.5)
            yield futures
