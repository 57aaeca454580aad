"""A provider on this machine that answers what a test tells it to, byte for byte."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrations.models import ProviderCredential
from tenants.models import Tenant

SECRET = "sk-provider-0123456789abcdef"
MODEL = "tiny-1"
QUESTION = {"model": MODEL, "messages": [{"role": "user", "content": "Is it covered?"}]}
USAGE = {"prompt_tokens": 14, "completion_tokens": 9, "total_tokens": 23}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "tiny-1-2026-11-01",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is covered."},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": "It is covered."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 14, "output_tokens": 9},
}


@dataclass
class Scripted:
    """An answer. `body` is sent piece by piece; `act` is done before each piece."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    act: Callable[[int], object] | None = None
    cut: bool = False  # the connection, once the body is sent, without an end

    def pieces(self) -> list[bytes]:
        if isinstance(self.body, list):
            return self.body
        return [self.body if isinstance(self.body, bytes) else encoded(self.body)]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def event(value: Any, name: str = "") -> bytes:
    data = value if isinstance(value, str) else json.dumps(value)
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def chunk(text: str | None = None, **members: Any) -> bytes:
    """Return a chunk of a chat completion's stream."""
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return event({"id": "chatcmpl-1", "model": MODEL, "choices": choices} | members)


def stream(*texts: str, usage: dict[str, int] | None = USAGE) -> list[bytes]:
    """Return a whole stream as a provider sends it that was asked for usage."""
    stop = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    told = [chunk(choices=[], usage=usage)] if usage else []
    return [*map(chunk, texts), chunk(choices=stop), *told, event("[DONE]")]


def streamed(pieces: list[bytes], **options: Any) -> Scripted:
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    return Scripted(pieces, headers=headers, **options)


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Provider:
    """Answers requests with `script` in turn; the last answer goes on and on."""

    def __init__(self) -> None:
        self.script: list[Scripted] = [Scripted(CHAT)]
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answers(self, *script: Any) -> None:
        self.script = [
            it if isinstance(it, Scripted) else Scripted(it) for it in script
        ]

    def next_answer(self, asked: Asked) -> Scripted:
        with self._lock:
            self.asked.append(asked)
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def _handler(provider) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or the body waits for an ACK, 40 ms

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.path, headers, self.rfile.read(size))
                self._send(provider.next_answer(asked))

            def _send(self, answer: Scripted) -> None:
                self.send_response(answer.status)
                told = {"Content-Type": "application/json", **answer.headers}
                for name, value in told.items():
                    self.send_header(name, value)
                pieces = answer.pieces()
                is_stream = len(pieces) > 1 or answer.cut
                if is_stream:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(len(pieces[0])))
                self.end_headers()
                for place, piece in enumerate(pieces):
                    if answer.act:
                        answer.act(place)
                    size = f"{len(piece):x}\r\n".encode() if is_stream else b""
                    end = b"\r\n" if is_stream else b""
                    self.wfile.write(size + piece + end)
                if answer.cut:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif is_stream:
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *arguments: Any) -> None:
                pass

        return Handler

    @contextmanager
    def serving(self) -> Iterator["Provider"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def open_account(
    tenant: Tenant, provider: Provider | None, name: str = "custom", **columns: Any
) -> ProviderCredential:
    """Give a tenant an account with the provider, under the name of a known one."""
    url = provider.url if provider else "http://127.0.0.1:1/v1"
    if name == "anthropic":
        url = url.removesuffix("/v1")
    account = ProviderCredential(
        tenant=tenant,
        provider=name,
        base_url=columns.pop("base_url", url),
        allowed_hosts=columns.pop("allowed_hosts", ["127.0.0.1"]),
        **{"retries": 0, "silence_seconds": 5, "total_seconds": 10} | columns,
    )
    account.credential = SECRET
    account.full_clean()
    account.save()
    return account
