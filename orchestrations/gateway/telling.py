"""What a provider's answer tells of itself, read without holding up its bytes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import Any, TypeVar

import msgspec

from orchestrations.gateway.events import EventSplitter, EventTooLarge, data_of

Data = bytes | bytearray | memoryview | mmap

# A member is declared as the struct or list that we read, and as all other kinds of
# JSON values besides: so nothing a provider puts there makes the rest unreadable.
Scalar = str | int | float | bool | None
NoStruct = list[Any] | Scalar
NoList = dict[str, Any] | Scalar
Value = dict[str, Any] | list[Any] | Scalar

MAX_ERROR_CHARACTERS = 500
MAX_MENDED_BYTES = 2**20

T = TypeVar("T")


class Unreadable(ValueError):
    """The answer is not a JSON object."""


@dataclass(slots=True)
class Told:
    usage: dict[str, Any] | None = None  # as the provider wrote it
    model: str | None = None  # as the provider names it
    request_id: str | None = None  # the body's; None for Bedrock
    finish_reason: str | None = None  # of the first choice
    text: str = ""  # of the first choice; empty for a stream
    text_size: int = 0  # its bytes in UTF-8, once it was hashed
    ended: bool = False  # the whole answer was seen
    error: str | None = None


def read_object(decoder: msgspec.json.Decoder[T], data: Data) -> T:
    """Return what is in a JSON object, or raise Unreadable."""
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        if len(data) > MAX_MENDED_BYTES:
            raise Unreadable(str(error)) from None
    try:
        return decoder.decode(_mended(data))
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None


def _mended(data: Data) -> bytes:
    """Return JSON without what Python's servers write and strict readers refuse.

    That is NaN, a byte order mark, and characters cut in two where the tokens ended.
    """
    text = str(data, "utf-8-sig", "replace")
    value = json.loads(text, parse_constant=lambda _: None)
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def text_in(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None


def object_in(value: Value) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def error_in(value: Value) -> str | None:
    """Return the message of an `error` member: an object's, or a bare string."""
    if not value:
        return None
    message = value.get("message") if isinstance(value, dict) else value
    if not isinstance(message, str) or not message:
        message = json.dumps(value)
    return message[:MAX_ERROR_CHARACTERS]


class StreamReader(ABC):
    """Takes a provider's stream in and gives it back, reading on the way.

    `told` is kept current and `on_text` is called with every piece of text. Nothing
    in a stream makes this raise: what it cannot read it relays.
    """

    def __init__(
        self,
        strip_usage: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        self.told = Told()
        self.pieces = 0  # deltas of content of all kinds, mostly of a token or more
        self.malformed = 0  # events that are no JSON
        self._strip_usage = strip_usage
        self._on_text = on_text
        self._splitter = EventSplitter()
        self._reading = True

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes for the client: `chunk` itself, unless usage is stripped."""
        if not self._reading:
            return chunk
        passed = []
        try:
            for event in self._splitter.feed(chunk):
                if self._take(event):
                    passed.append(event)
        except EventTooLarge:
            self._reading = False
            passed.append(self._splitter.rest())
        return b"".join(passed) if self._strip_usage else chunk

    def finish(self) -> bytes:
        """Read what no blank line ended, and return what was held back."""
        if not self._reading:
            return b""
        self._reading = False
        rest, malformed = self._splitter.rest(), self.malformed
        passes = self._take(rest)
        self.malformed = malformed  # half an event is only cut off
        return rest if self._strip_usage and passes else b""

    def _take(self, event: bytes) -> bool:
        """Read an event; return whether a client who did not ask for usage gets it."""
        data = data_of(event)
        if not data:
            return True
        try:
            return not self._read(data)
        except Unreadable:
            self.malformed += 1
            return True

    def _tell_text(self, text: str) -> None:
        if text and self._on_text:
            self._on_text(text)

    @abstractmethod
    def _read(self, data: bytes) -> bool:
        """Read an event's data; return whether it is there for its usage alone.

        Raises Unreadable.
        """
