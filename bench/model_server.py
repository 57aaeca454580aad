"""A model server without a model: `python -m bench.model_server PORT`.

It answers chat completions, plain and streamed, after some time in which it does
nothing. Its answers say when the request was there and when they were written, on the
machine's monotonic clock: `[nanoseconds nanoseconds]` in the text, of a stream in every
chunk's.
"""

import asyncio
import random
import sys
import time
from typing import Any

import msgspec

# To the answer, or the first chunk. Were it always the same, clients that once called
# at the same moment would do so for ever.
HOLD_SECONDS = (0.03, 0.07)
WORDS = 100  # of a plain answer
USAGE = {
    "prompt_tokens": 24,
    "completion_tokens": 128,
    "total_tokens": 152,
    "prompt_tokens_details": {"cached_tokens": 0},
}
MODEL = "stand-in"
PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


class Asked(msgspec.Struct):
    """What it looks at in a request; of a stream, `max_tokens` is its chunks."""

    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int = 4
    pause_ms: int = 20  # between chunks


class Caller(asyncio.Protocol):
    """One connection, a request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if blank and len(body) >= _length(head):
            self._received, self._read = time.monotonic_ns(), b""
            asked = msgspec.json.decode(body, type=Asked)
            answer = self._stream if asked.stream else self._answer
            _later(random.uniform(*HOLD_SECONDS), answer, asked)

    def _answer(self, asked: Asked) -> None:
        message = {"role": "assistant", "content": "word " * WORDS + self._stamp()}
        body = _encode([{"index": 0, "message": message, "finish_reason": "stop"}])
        self._transport.write(PLAIN % len(body) + body)

    def _stream(self, asked: Asked, number: int = 1) -> None:
        delta = {"role": "assistant"} if number == 1 else {}
        delta["content"] = f"word {self._stamp()}"
        event = _event(_chunk(delta))
        self._transport.write(event if number > 1 else STREAM + event)
        if number < asked.max_tokens:
            _later(asked.pause_ms / 1000, self._stream, asked, number + 1)
            return
        self._transport.write(_event(_chunk({}, "stop")))
        if (asked.stream_options or {}).get("include_usage"):
            self._transport.write(_event(_encode([], "chat.completion.chunk")))
        self._transport.write(_event(b"[DONE]") + b"0\r\n\r\n")

    def _stamp(self) -> str:
        return f"[{self._received} {time.monotonic_ns()}]"


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n")[0] or 0)


def _later(seconds: float, answer: Any, *arguments: Any) -> None:
    asyncio.get_running_loop().call_later(seconds, answer, *arguments)


def _chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _encode([choice], "chat.completion.chunk")


def _encode(choices: list[Any], kind: str = "chat.completion") -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": kind,
        "created": int(time.time()),
        "model": MODEL,
        "choices": choices,
    }
    tells_usage = kind == "chat.completion" or not choices
    return msgspec.json.encode(body | ({"usage": USAGE} if tells_usage else {}))


def _event(data: bytes) -> bytes:
    """Return server-sent data as one chunk of HTTP."""
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Caller, "127.0.0.1", port, backlog=500
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
