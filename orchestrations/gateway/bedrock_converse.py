"""Amazon Bedrock's Converse, without ConverseStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from orchestrations.gateway import parameters as given
from orchestrations.gateway.telling import (
    Data,
    NoList,
    NoStruct,
    Told,
    Value,
    error_in,
    object_in,
    read_object,
    text_in,
)

_NAMES = {
    "temperature": "temperature",
    "max_tokens": "maxTokens",
    "top_p": "topP",
    "stop": "stopSequences",
}


class BedrockConverse:
    def path(self, model: str) -> str:
        """Return the path; raises BadParameter for what would be another one."""
        if not model.strip("."):
            raise given.BadParameter("model", "This is not the name of a model.")
        return f"/model/{quote(model, safe='')}/converse"

    def compose(
        self, model: str, prompt: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        known, others = given.sort_out(parameters)
        system = known.pop("system", None)
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": [{"text": prompt}]}]
        }
        if system:  # an empty text would be refused
            body["system"] = [{"text": system}]
        if known:
            named = given.rename(given.stop_sequences(known), _NAMES)
            body["inferenceConfig"] = named
        if others:
            body["additionalModelRequestFields"] = others
        return body

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        config = body.get("inferenceConfig")
        return (
            given.count_in(config.get("maxTokens"))
            if isinstance(config, dict)
            else None
        )

    def read_body(self, data: Data) -> Told:
        body = read_object(_BODIES, data)
        return Told(
            usage=object_in(body.usage),
            finish_reason=text_in(body.stopReason),
            text=_text_of(body.output),
            ended=True,
            error=error_in(body.message),
        )


class _Block(msgspec.Struct):
    text: Value = None


class _Message(msgspec.Struct):
    content: list[_Block | NoStruct] | NoList = None


class _Output(msgspec.Struct):
    message: _Message | NoStruct = None


class _Body(msgspec.Struct):
    output: _Output | NoStruct = None
    stopReason: Value = None
    usage: Value = None
    message: Value = None  # of an error


_BODIES = msgspec.json.Decoder(_Body)


def _text_of(output: _Output | NoStruct) -> str:
    message = output.message if isinstance(output, _Output) else None
    content = message.content if isinstance(message, _Message) else None
    if not isinstance(content, list):
        return ""
    texts = [block.text for block in content if isinstance(block, _Block)]
    return "".join(text for text in texts if isinstance(text, str))
