"""Anthropic's Messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from orchestrations.gateway import parameters as given
from orchestrations.gateway.telling import (
    Data,
    NoList,
    NoStruct,
    StreamReader,
    Told,
    Value,
    error_in,
    object_in,
    read_object,
    text_in,
)

# The provider does not answer without a limit.
DEFAULT_MAX_TOKENS = 4096

_NAMES = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop_sequences",
    "system": "system",
}


class AnthropicMessages:
    def path(self, model: str) -> str:
        return "/v1/messages"

    def compose(
        self, model: str, prompt: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        known, others = given.sort_out(parameters)
        messages = [{"role": "user", "content": prompt}]
        known = {"max_tokens": DEFAULT_MAX_TOKENS, **given.stop_sequences(known)}
        body = {"model": model, "messages": messages, **given.rename(known, _NAMES)}
        return given.join(body, others)

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        # With 0 a prompt goes into the cache and nothing is answered.
        return given.count_in(body.get("max_tokens"), least=0)

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        return body.get("stream") is True

    def ask_for_usage(self, raw: bytes, body: Mapping[str, Any]) -> tuple[bytes, bool]:
        return raw, False  # it tells unasked

    def read_body(self, data: Data) -> Told:
        message = read_object(_BODIES, data)
        return Told(
            usage=object_in(message.usage),
            model=text_in(message.model),
            request_id=text_in(message.id),
            finish_reason=text_in(message.stop_reason),
            text=_text_of(message.content),
            ended=True,
            error=error_in(message.error),
        )

    def reader(
        self,
        strip_usage: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> StreamReader:
        return _EventReader(strip_usage, on_text)


class _Block(msgspec.Struct):
    type: Value = None
    text: Value = None


_Content = list[_Block | NoStruct] | NoList


class _Message(msgspec.Struct):
    id: Value = None
    model: Value = None
    content: _Content = None
    stop_reason: Value = None
    usage: Value = None


class _Body(_Message):
    error: Value = None


class _Event(msgspec.Struct):
    type: Value = None
    message: _Message | NoStruct = None  # of message_start
    content_block: _Block | NoStruct = None
    delta: Value = None
    usage: Value = None
    error: Value = None


_BODIES = msgspec.json.Decoder(_Body)
_EVENTS = msgspec.json.Decoder(_Event)


def _text_of(content: _Content) -> str:
    if not isinstance(content, list):
        return ""
    return "".join(map(_text_in_block, content))


def _text_in_block(block: _Block | NoStruct) -> str:
    if isinstance(block, _Block) and block.type == "text":
        return text_in(block.text) or ""
    return ""


class _EventReader(StreamReader):
    def _read(self, data: bytes) -> bool:
        event = read_object(_EVENTS, data)
        match event.type:
            case "content_block_delta":
                self._read_delta(event.delta)
            case "content_block_start":
                self._tell_text(_text_in_block(event.content_block))
            case "message_start":
                self._read_start(event.message)
            case "message_delta":
                self._read_end(event)
            case "message_stop":
                self.told.ended = True
        self.told.error = self.told.error or error_in(event.error)
        return False

    def _read_delta(self, delta: Value) -> None:
        if not isinstance(delta, dict):
            return
        if any(value for name, value in delta.items() if name != "type"):
            self.pieces += 1
        if delta.get("type") == "text_delta":
            self._tell_text(text_in(delta.get("text")) or "")

    def _read_start(self, message: _Message | NoStruct) -> None:
        if isinstance(message, _Message):
            self.told.request_id = text_in(message.id)
            self.told.model = text_in(message.model)
            self._count(message.usage)

    def _read_end(self, event: _Event) -> None:
        self._count(event.usage)
        if isinstance(event.delta, dict):
            reason = text_in(event.delta.get("stop_reason"))
            self.told.finish_reason = reason or self.told.finish_reason

    def _count(self, usage: Value) -> None:
        """Take over counts that are of all so far; null says nothing new."""
        if not isinstance(usage, dict):
            return
        told = self.told.usage or {}
        news = {n: v for n, v in usage.items() if v is not None or n not in told}
        self.told.usage = {**told, **news}
