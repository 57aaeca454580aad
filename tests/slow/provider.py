"""A provider of which a test writes every byte: what it sends, and where it stops.

A scene is what happens on a connection once a request is there: bytes are sent, a
number is a pause (seconds), an event is waited for, and `CUT` ends it where it is.
"""

import socket
import ssl
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

from tests.orchestrations.provider import Asked, encoded


class End(Enum):
    CUT = "cut"


CUT = End.CUT
HANG = 60.0  # longer than anybody is patient

Step = bytes | float | threading.Event | End
Scene = Sequence[Step]


@dataclass
class Request(Asked):
    """One that came, with the connection it came by."""

    connection: int


def whole(body: Any, status: int = 200, **headers: str) -> Scene:
    """Answer in one piece."""
    data = body if isinstance(body, bytes) else encoded(body)
    return [head(status, Content_Length=str(len(data)), **headers), data]


def streamed(pieces: Iterable[Step]) -> Scene:
    """Answer in chunks, with pauses where there are numbers among them."""
    begins = head(200, Content_Type="text/event-stream", Transfer_Encoding="chunked")
    steps = [framed(it) if isinstance(it, bytes) else it for it in pieces]
    return [begins, *steps, framed(b"")]


def head(status: int, **headers: str) -> bytes:
    told = {"Content_Type": "application/json", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in told.items()]
    return "\r\n".join([f"HTTP/1.1 {status} So", *lines, "", ""]).encode()


def framed(piece: bytes) -> bytes:
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


class Provider:
    """Plays its scenes in turn, one for each request; the last goes on and on."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.finished: list[Scene] = []  # those that were played to their end
        self._scenes: list[Scene] = []
        self._tls = tls
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def plays(self, *scenes: Scene) -> None:
        with self._lock:
            self._scenes = list(scenes)

    def _accept(self) -> None:
        number = 0
        with suppress(OSError):  # that it is closed
            while True:
                connection, _ = self._listener.accept()
                number += 1
                threading.Thread(
                    target=self._serve, args=(connection, number), daemon=True
                ).start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        with (
            suppress(OSError, ValueError),
            self._secured(accepted) as connection,
            connection.makefile("rb") as incoming,
        ):
            while request := _read(incoming, number):
                if not self._play(connection, request):
                    return

    def _secured(self, accepted: socket.socket) -> socket.socket:
        if self._tls is None:
            return accepted
        return self._tls.wrap_socket(accepted, server_side=True)

    def _play(self, connection: socket.socket, request: Request) -> bool:
        """Say whether the connection goes on."""
        with self._lock:
            self.requests.append(request)
            scene = self._scenes.pop(0) if len(self._scenes) > 1 else self._scenes[0]
        for step in scene:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, float):
                if self._is_over.wait(step):
                    return False
            elif isinstance(step, threading.Event):
                step.wait(HANG)
            else:
                connection.shutdown(socket.SHUT_RDWR)
                return False
        with self._lock:
            self.finished.append(scene)
        return True


def _read(incoming: Any, number: int) -> Request | None:
    start = incoming.readline()
    if not start:
        return None
    headers = {}
    while line := incoming.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0)))
    return Request(start.split()[1].decode(), headers, body, number)
