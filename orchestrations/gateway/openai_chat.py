"""OpenAI's Chat Completions, and the many servers that speak them more or less."""

from __future__ import annotations

import json
import re
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

_NAMES = {name: name for name in ("temperature", "top_p", "stop", "seed")}

_ASK = b'"stream_options":{"include_usage":true},'
_MEMBER_NAME = re.compile(r'[ \t\n\r,]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*')


class OpenAIChat:
    def __init__(self, limit_name: str) -> None:
        self._limit_name = limit_name

    def path(self, model: str) -> str:
        return "/chat/completions"

    def compose(
        self, model: str, prompt: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        known, others = given.sort_out(parameters)
        messages = [{"role": "user", "content": prompt}]
        if (system := known.pop("system", None)) is not None:
            messages.insert(0, {"role": "system", "content": system})
        names = {**_NAMES, "max_tokens": self._limit_name}
        body = {"model": model, "messages": messages, **given.rename(known, names)}
        return given.join(body, others)

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        said = [body.get("max_completion_tokens"), body.get("max_tokens")]
        limits = [given.count_in(limit) for limit in said if limit is not None]
        choices = body.get("n")
        times = 1 if choices is None else given.count_in(choices)
        if not limits or None in limits or times is None:
            return None
        # Servers differ in which they follow where both are given.
        return max(limit for limit in limits if limit is not None) * times

    def is_stream(self, body: Mapping[str, Any]) -> bool:
        return body.get("stream") is True

    def ask_for_usage(self, raw: bytes, body: Mapping[str, Any]) -> tuple[bytes, bool]:
        options = body.get("stream_options")
        if not self.is_stream(body) or not isinstance(options, dict | None):
            return raw, False
        if options and options.get("include_usage") is True:
            return raw, False
        if "stream_options" not in body:
            start = raw.index(b"{") + 1
            return raw[:start] + _ASK + raw[start:], True
        asking = {**(options or {}), "include_usage": True}
        return _with_member(raw, "stream_options", json.dumps(asking)), True

    def read_body(self, data: Data) -> Told:
        body = read_object(_BODIES, data)
        told = Told(
            usage=object_in(body.usage),
            model=text_in(body.model),
            request_id=text_in(body.id),
            ended=True,
            error=error_in(body.error),
        )
        if isinstance(body.choices, list) and body.choices:
            _tell_choice(told, body.choices[0])
        return told

    def reader(
        self,
        strip_usage: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> StreamReader:
        return _ChunkReader(strip_usage, on_text)


class _Part(msgspec.Struct):
    text: Value = None


_Content = list[_Part | NoStruct] | NoList


class _Message(msgspec.Struct):
    content: _Content = None


class _Choice(msgspec.Struct):
    message: _Message | NoStruct = None
    finish_reason: Value = None


class _Body(msgspec.Struct):
    id: Value = None
    model: Value = None
    choices: list[_Choice | NoStruct] | NoList = None
    usage: Value = None
    error: Value = None


class _StreamChoice(msgspec.Struct):
    index: Value = 0
    delta: Value = None
    finish_reason: Value = None


class _Chunk(msgspec.Struct):
    id: Value = None
    model: Value = None
    choices: list[_StreamChoice | NoStruct] | NoList = None
    usage: Value = None
    error: Value = None
    moderation: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_BODIES = msgspec.json.Decoder(_Body)
_CHUNKS = msgspec.json.Decoder(_Chunk)


def _with_member(raw: bytes, name: str, value: str) -> bytes:
    """Return an object with JSON for the value of a member, and the rest as it was."""
    text = raw.decode()
    end = text.index("{") + 1
    while member := _MEMBER_NAME.match(text, end):
        start = member.end()
        _, end = json.JSONDecoder().raw_decode(text, start)
        if json.loads(member[1]) == name:
            text = text[:start] + value + text[end:]
            end = start + len(value)
    return text.encode()


def _tell_choice(told: Told, choice: _Choice | NoStruct) -> None:
    if not isinstance(choice, _Choice):
        return
    told.finish_reason = text_in(choice.finish_reason)
    if isinstance(choice.message, _Message):
        told.text = _text_of(choice.message.content)


def _text_of(content: _Content) -> str:
    if isinstance(content, list):
        texts = [part.text for part in content if isinstance(part, _Part)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _content(value: Value) -> _Content:
    if isinstance(value, list):
        value = msgspec.convert(value, _Content)
    return value


class _ChunkReader(StreamReader):
    def __init__(
        self, strip_usage: bool, on_text: Callable[[str], None] | None
    ) -> None:
        super().__init__(strip_usage, on_text)
        self._unfinished: dict[int, bool] = {}  # by the index of a choice

    def _read(self, data: bytes) -> bool:
        if data.startswith(b"[DONE]"):
            self.told.ended = True
            return False
        chunk = read_object(_CHUNKS, data)
        told = self.told
        told.model = told.model or text_in(chunk.model)
        told.request_id = told.request_id or text_in(chunk.id)
        told.error = told.error or error_in(chunk.error)
        if isinstance(chunk.choices, list):
            for choice in chunk.choices:
                self._read_choice(choice)
        return self._read_usage(chunk)

    def _read_choice(self, choice: _StreamChoice | NoStruct) -> None:
        if not isinstance(choice, _StreamChoice):
            return
        index = choice.index if isinstance(choice.index, int) else 0
        finish_reason = text_in(choice.finish_reason)
        # Audio has one more delta after the finish.
        unfinished = finish_reason is None and self._unfinished.get(index, True)
        self._unfinished[index] = unfinished
        if isinstance(choice.delta, dict):
            self.pieces += _pieces(choice.delta)
        if index == 0:
            self._read_first(choice.delta, finish_reason)

    def _read_first(self, delta: Value, finish_reason: str | None) -> None:
        self.told.finish_reason = finish_reason or self.told.finish_reason
        if isinstance(delta, dict):
            self._tell_text(_text_of(_content(delta.get("content"))))

    def _read_usage(self, chunk: _Chunk) -> bool:
        if not isinstance(chunk.usage, dict):
            return False
        self.told.usage = chunk.usage or self.told.usage
        if chunk.choices:
            return False
        if self._is_finished():
            self.told.ended = True  # some servers end without [DONE]
        # Another chunk without choices is of moderation, which the client did ask for.
        return not chunk.error and chunk.moderation is msgspec.UNSET

    def _is_finished(self) -> bool:
        return bool(self._unfinished) and not any(self._unfinished.values())


def _pieces(delta: dict[str, Any]) -> int:
    """Return how much content of any kind a delta brings; a role alone is none."""
    if not any(value for name, value in delta.items() if name != "role"):
        return 0
    calls = delta.get("tool_calls")
    return max(1, len(calls)) if isinstance(calls, list) else 1
