"""A wire to a server, on which the requests are counted."""

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

REQUEST = b"POST /"
CHUNK = 64 << 10


class CountingRelay:
    """Hands bytes on as they are; each request comes in a piece that begins with it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self.requests = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # that it is closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                back = threading.Thread(
                    target=self._hand_on, args=(far, near), daemon=True
                )
                back.start()
                threading.Thread(
                    target=self._serve, args=(near, far, back), daemon=True
                ).start()

    def _serve(
        self, near: socket.socket, far: socket.socket, back: threading.Thread
    ) -> None:
        with near, far:
            self._hand_on(near, far)
            back.join()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(CHUNK):
                if piece.startswith(REQUEST):
                    with self._lock:
                        self.requests += 1
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
