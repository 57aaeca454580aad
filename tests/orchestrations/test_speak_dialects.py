"""Requests and whole answers of each kind of provider."""

import json
import mmap
import tempfile

import pytest

from orchestrations.gateway.dialects import (
    ANTHROPIC_MESSAGES,
    BEDROCK_CONVERSE,
    OPENAI,
    OPENAI_CHAT,
)
from orchestrations.gateway.parameters import BadParameter
from orchestrations.gateway.telling import Told, Unreadable
from tests.orchestrations.provider_streams import (
    ANTHROPIC_START,
    CHAT_USAGE,
    OF_ANTHROPIC,
    OF_OPENAI,
)

DIALECTS = {
    "openai": OPENAI,
    "custom": OPENAI_CHAT,
    "anthropic": ANTHROPIC_MESSAGES,
    "bedrock": BEDROCK_CONVERSE,
}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


CHAT_BODY = {
    "id": "chatcmpl-CLRz1",
    "object": "chat.completion",
    "created": 1795385873,
    "model": "gpt-5-mini-2025-08-07",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi \N{GRINNING FACE}",
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "stop",
        },
        {"index": 1, "message": {"content": "other"}, "finish_reason": "length"},
    ],
    "usage": {**CHAT_USAGE, "cost": 1e-05},
    "service_tier": "default",
}
MESSAGE = {
    **ANTHROPIC_START["message"],
    "content": [
        {"type": "thinking", "thinking": "Let me see", "signature": "EqQB"},
        {"type": "text", "text": "Hi ", "citations": [{"cited_text": "no"}]},
        {"type": "tool_use", "id": "toolu_01", "name": "text", "input": {"text": "no"}},
        {"type": "summary", "text": "no"},
        {"type": "text", "text": "\N{GRINNING FACE}"},
    ],
    "stop_reason": "end_turn",
}
CONVERSE = {
    "metrics": {"latencyMs": 302},
    "output": {
        "message": {
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "no"}}},
                {"text": "Hi "},
                {"toolUse": {"toolUseId": "t", "name": "w", "input": {"text": "no"}}},
                {"text": "\N{GRINNING FACE}"},
            ],
            "role": "assistant",
        }
    },
    "stopReason": "end_turn",
    "usage": {
        "cacheReadInputTokens": 900,
        "cacheWriteInputTokens": 0,
        "inputTokens": 4,
        "outputTokens": 38,
        "totalTokens": 942,
    },
}
BODIES = {
    "openai": (OPENAI, CHAT_BODY, "stop", "chatcmpl-CLRz1", OF_OPENAI["model"]),
    "anthropic": (
        ANTHROPIC_MESSAGES,
        MESSAGE,
        "end_turn",
        OF_ANTHROPIC["request_id"],
        OF_ANTHROPIC["model"],
    ),
    "bedrock": (BEDROCK_CONVERSE, CONVERSE, "end_turn", None, None),
}


class TestBody:
    @pytest.mark.parametrize(
        ("dialect", "body", "finish_reason", "request_id", "model"),
        BODIES.values(),
        ids=BODIES,
    )
    def test_tells(self, dialect, body, finish_reason, request_id, model):
        data = json.dumps(body).encode()
        told = dialect.read_body(data)
        assert told == Told(
            usage=body["usage"],
            model=model,
            request_id=request_id,
            finish_reason=finish_reason,
            text="Hi \N{GRINNING FACE}",
            ended=True,
        )
        assert dialect.read_body(memoryview(data)) == told

    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ([{"type": "text", "text": "a"}, {"type": "image_url"}, "b", None], "a"),
            (None, ""),
            ({"text": "a"}, ""),
            (5, ""),
        ],
    )
    def test_content_of_openai(self, content, text):
        choices = [{"message": {"content": content}, "finish_reason": "stop"}]
        told = OPENAI.read_body(json.dumps({"choices": choices}).encode())
        assert (told.text, told.finish_reason) == (text, "stop")

    def test_numbers_of_usage_stay_what_they_are(self):
        usage = b'{"a": 1, "b": 1.0, "c": 9007199254740993, "d": 1e-05, "e": null}'
        told = OPENAI.read_body(b'{"usage": ' + usage + b"}").usage
        assert told is not None
        assert [(n, type(v), v) for n, v in told.items()] == [
            (n, type(v), v) for n, v in json.loads(usage).items()
        ]

    @every_dialect
    def test_nothing_is_told_by_an_empty_object(self, dialect):
        assert dialect.read_body(b" {} ") == Told(ended=True)

    @every_dialect
    @pytest.mark.parametrize(
        "data", [b"", b"[]", b"null", b'"a"', b"{", b"<html>", b"{} {}", b"\xff"]
    )
    def test_what_is_no_object(self, dialect, data):
        with pytest.raises(Unreadable):
            dialect.read_body(data)

    @pytest.mark.parametrize(
        ("dialect", "data", "message"),
        [
            (OPENAI, b'{"error": {"message": "No.", "code": null}}', "No."),
            (OPENAI_CHAT, b'{"error": "model not found"}', "model not found"),
            (
                ANTHROPIC_MESSAGES,
                b'{"type": "error", "error": {"type": "a", "message": "No."}}',
                "No.",
            ),
            (BEDROCK_CONVERSE, b'{"message": "Too many tokens"}', "Too many tokens"),
        ],
    )
    def test_errors(self, dialect, data, message):
        assert dialect.read_body(data) == Told(ended=True, error=message)

    def test_an_answer_cut_within_a_character_still_tells_its_usage(self):
        data = b'{"choices":[{"message":{"content":"a\\ud83d"}}],"usage":{"a":1}}'
        assert OPENAI.read_body(data).text == "a?"
        assert OPENAI.read_body(b"\xef\xbb\xbf" + data).usage == {"a": 1}

    def test_a_large_answer_is_read_from_a_mapped_file(self):
        image = b'"images":["' + b"A" * 30_000_000 + b'"]'
        with tempfile.TemporaryFile() as file:
            file.write(b'{"choices":[{"message":{"content":"a",' + image + b"}}],")
            file.write(b'"usage":{"prompt_tokens":1}}')
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                told = OPENAI.read_body(data)
                # Closing the map would fail if something still looked into it.
        assert (told.text, told.usage) == ("a", {"prompt_tokens": 1})

    def test_a_large_answer_is_not_read_twice(self):
        with pytest.raises(Unreadable):
            OPENAI.read_body(b'{"a":NaN,"b":"' + b"A" * 2**20 + b'"}')


class TestPath:
    def test_of_each(self):
        assert OPENAI.path("gpt-5") == "/chat/completions"
        assert ANTHROPIC_MESSAGES.path("claude") == "/v1/messages"

    @pytest.mark.parametrize(
        ("model", "encoded"),
        [
            ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3A0"),
            (
                "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x",
                "arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.x",
            ),
            ("a/../b?c#d é~_", "a%2F..%2Fb%3Fc%23d%20%C3%A9~_"),
        ],
    )
    def test_bedrock_encodes_the_model(self, model, encoded):
        assert BEDROCK_CONVERSE.path(model) == f"/model/{encoded}/converse"

    @pytest.mark.parametrize("model", ["", ".", ".."])
    def test_no_model_leads_elsewhere(self, model):
        with pytest.raises(BadParameter, match="model: "):
            BEDROCK_CONVERSE.path(model)


ALL = {
    "temperature": 0,
    "max_tokens": 10,
    "top_p": 0.5,
    "stop": "END",
    "system": "Be brief.",
}


class TestCompose:
    @pytest.mark.parametrize(
        ("dialect", "limit"),
        [(OPENAI, "max_completion_tokens"), (OPENAI_CHAT, "max_tokens")],
    )
    def test_openai(self, dialect, limit):
        assert dialect.compose("gpt-5", "Hi", {**ALL, "seed": -1, "user": "u"}) == {
            "model": "gpt-5",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ],
            "temperature": 0,
            limit: 10,
            "top_p": 0.5,
            "stop": "END",
            "seed": -1,
            "user": "u",
        }

    def test_anthropic(self):
        assert ANTHROPIC_MESSAGES.compose("claude", "Hi", {**ALL, "top_k": 5}) == {
            "model": "claude",
            "messages": [{"role": "user", "content": "Hi"}],
            "system": "Be brief.",
            "temperature": 0,
            "max_tokens": 10,
            "top_p": 0.5,
            "stop_sequences": ["END"],
            "top_k": 5,
        }

    def test_bedrock(self):
        assert BEDROCK_CONVERSE.compose("nova", "Hi", {**ALL, "top_k": 5}) == {
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {
                "temperature": 0,
                "maxTokens": 10,
                "topP": 0.5,
                "stopSequences": ["END"],
            },
            "additionalModelRequestFields": {"top_k": 5},
        }

    def test_with_nothing_given(self):
        message = {"role": "user", "content": "Hi"}
        assert OPENAI.compose("m", "Hi", {}) == {"model": "m", "messages": [message]}
        assert ANTHROPIC_MESSAGES.compose("m", "Hi", {}) == {
            "model": "m",
            "messages": [message],
            "max_tokens": 4096,
        }
        assert BEDROCK_CONVERSE.compose("m", "Hi", {}) == {
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}]
        }

    @every_dialect
    def test_null_is_not_given(self, dialect):
        nothing = dict.fromkeys([*ALL, "seed"])
        assert dialect.compose("m", "Hi", nothing) == dialect.compose("m", "Hi", {})

    def test_a_system_prompt_that_says_nothing(self):
        nothing = {"system": ""}
        assert ANTHROPIC_MESSAGES.compose("m", "Hi", nothing)["system"] == ""
        assert "system" not in BEDROCK_CONVERSE.compose("m", "Hi", nothing)

    def test_several_stops(self):
        stops = {"stop": ["a", "b"]}
        assert OPENAI.compose("m", "Hi", stops)["stop"] == ["a", "b"]
        assert ANTHROPIC_MESSAGES.compose("m", "Hi", stops)["stop_sequences"] == [
            "a",
            "b",
        ]

    @every_dialect
    def test_the_callers_own_is_left_alone(self, dialect):
        stops = ["a"]
        parameters = {"stop": stops, "user": {"a": 1}}
        dialect.compose("m", "Hi", parameters)
        assert parameters == {"stop": ["a"], "user": {"a": 1}}

    @every_dialect
    @pytest.mark.parametrize(
        "name", ["model", "messages", "stream", "stream_options", "n", "prompt"]
    )
    @pytest.mark.parametrize("value", [1, None])
    def test_what_is_ours(self, dialect, name, value):
        with pytest.raises(BadParameter) as caught:
            dialect.compose("m", "Hi", {name: value})
        assert caught.value.name == name

    @every_dialect
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("temperature", "0"),
            ("temperature", True),
            ("top_p", False),
            ("top_p", [0.5]),
            ("max_tokens", 0),
            ("max_tokens", -1),
            ("max_tokens", 10.0),
            ("max_tokens", True),
            ("max_tokens", "10"),
            ("seed", 1.5),
            ("seed", True),
            ("system", ["Be brief."]),
            ("stop", 5),
            ("stop", ["a", 5]),
            ("stop", {"a": "b"}),
        ],
    )
    def test_wrong_types(self, dialect, name, value):
        with pytest.raises(BadParameter, match=f"^{name}: This is not ") as caught:
            dialect.compose("m", "Hi", {"user": "u", name: value})
        assert caught.value.name == name

    @pytest.mark.parametrize("dialect", [ANTHROPIC_MESSAGES, BEDROCK_CONVERSE])
    def test_a_seed_is_for_openai_alone(self, dialect):
        with pytest.raises(BadParameter, match="seed: The provider does not know it"):
            dialect.compose("m", "Hi", {"seed": 5})

    @pytest.mark.parametrize(
        ("dialect", "parameters", "name"),
        [
            (
                OPENAI,
                {"max_tokens": 5, "max_completion_tokens": 500},
                "max_completion_tokens",
            ),
            (
                ANTHROPIC_MESSAGES,
                {"stop": "a", "stop_sequences": ["b"]},
                "stop_sequences",
            ),
        ],
    )
    def test_nothing_is_said_twice(self, dialect, parameters, name):
        with pytest.raises(BadParameter, match="says this already") as caught:
            dialect.compose("m", "Hi", parameters)
        assert caught.value.name == name

    @every_dialect
    def test_the_limit_is_read_from_what_is_composed(self, dialect):
        body = dialect.compose("m", "Hi", {"max_tokens": 77})
        assert dialect.output_limit(body) == 77


class TestOutputLimit:
    @pytest.mark.parametrize(
        ("body", "limit"),
        [
            ({}, None),
            ({"max_tokens": 10}, 10),
            ({"max_completion_tokens": 10}, 10),
            ({"max_completion_tokens": None, "max_tokens": 10}, 10),
            ({"max_completion_tokens": 10, "max_tokens": 20}, 20),
            ({"max_completion_tokens": 20, "max_tokens": 10}, 20),
            ({"max_tokens": 10, "n": 3}, 30),
            ({"max_tokens": 10, "n": None}, 10),
            ({"max_tokens": 10, "n": "3"}, None),
            ({"max_tokens": 10, "n": 0}, None),
            ({"max_tokens": 10, "n": True}, None),
            ({"n": 3}, None),
            ({"max_tokens": -1}, None),
            ({"max_tokens": 0}, None),
            ({"max_tokens": 10.0}, None),
            ({"max_tokens": True}, None),
            ({"max_tokens": 10, "max_completion_tokens": "all"}, None),
        ],
    )
    def test_openai(self, body, limit):
        assert OPENAI.output_limit(body) == OPENAI_CHAT.output_limit(body) == limit

    @pytest.mark.parametrize(
        ("said", "limit"),
        [(10, 10), (0, 0), (-1, None), ("10", None), (None, None), (True, None)],
    )
    def test_anthropic(self, said, limit):
        assert ANTHROPIC_MESSAGES.output_limit({"max_tokens": said}) == limit
        assert ANTHROPIC_MESSAGES.output_limit({}) is None

    @pytest.mark.parametrize(
        ("config", "limit"),
        [
            ({"maxTokens": 10}, 10),
            ({"maxTokens": 0}, None),
            ({}, None),
            (None, None),
            ([10], None),
        ],
    )
    def test_bedrock(self, config, limit):
        assert BEDROCK_CONVERSE.output_limit({"inferenceConfig": config}) == limit
        assert BEDROCK_CONVERSE.output_limit({"maxTokens": 10}) is None


# A schema and an image, with spaces, escapes and numbers that no encoder would keep.
REQUEST = rb""" {
  "model" : "gpt-5", "stream":true,"temperature":1.0e0,
  "messages": [{"role": "user", "content": [
    {"type": "text", "text": "\u0047r\u00fc\u00dfe {\"stream_options\":null}"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
  ]}],
  "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema":
    {"type": "object", "properties": {"stream_options": {"type": "null"}}}}}%s
}
"""


def request(member=b""):
    raw = REQUEST.replace(b"%s", member)
    return raw, json.loads(raw)


class TestAskingForUsage:
    def test_it_is_the_first_member_and_no_other_byte_changes(self):
        raw, body = request()
        asking, strip = OPENAI.ask_for_usage(raw, body)
        assert strip
        start, rest = raw[:2], raw[2:]
        assert asking == start + b'"stream_options":{"include_usage":true},' + rest
        assert json.loads(asking) == {**body, "stream_options": {"include_usage": True}}

    @pytest.mark.parametrize(
        ("options", "asked"),
        [
            (b"null", b'{"include_usage": true}'),
            (b"{ }", b'{"include_usage": true}'),
            (b'{"include_usage" :false}', b'{"include_usage": true}'),
            (b'{"include_usage":null}', b'{"include_usage": true}'),
            (
                b'{"include_obfuscation":false}',
                b'{"include_obfuscation": false, "include_usage": true}',
            ),
        ],
    )
    @pytest.mark.parametrize("name", [rb'"stream_options"', rb'"stream\u005foptions"'])
    @pytest.mark.parametrize("after", [b"", b" , \r\n\t" + rb'"a\"}":[1,{}], "z" :"}"'])
    def test_only_the_member_changes(self, options, asked, name, after):
        raw, body = request(b",\n  " + name + b" : " + options + after)
        asking, strip = OPENAI_CHAT.ask_for_usage(raw, body)
        assert strip
        before = raw.rindex(name) + len(name) + 3
        assert asking == raw[:before] + asked + raw[before + len(options) :]
        assert json.loads(asking)["stream_options"]["include_usage"] is True

    def test_said_twice_it_is_answered_twice(self):
        raw = b'{"stream":true,"stream_options":null,"stream_options":{}}'
        asking, _ = OPENAI.ask_for_usage(raw, json.loads(raw))
        wanted = b'"stream_options":{"include_usage": true}'
        assert asking == b'{"stream":true,' + wanted + b"," + wanted + b"}"

    @pytest.mark.parametrize(
        "raw",
        [
            b'{"stream":true,"stream_options":{"include_usage":true}}',
            b'{"stream":true,"stream_options":{"include_usage":true,"a":1}}',
            b'{"stream":true,"stream_options":"what?"}',
            b'{"stream":true,"stream_options":[]}',
            b'{"stream":false}',
            b'{"stream":"true"}',
            b'{"stream":1}',
            b"{}",
        ],
    )
    def test_otherwise_nothing_changes(self, raw):
        assert OPENAI.ask_for_usage(raw, json.loads(raw)) == (raw, False)

    def test_anthropic_tells_unasked(self):
        raw, body = request()
        assert ANTHROPIC_MESSAGES.is_stream(body)
        assert ANTHROPIC_MESSAGES.ask_for_usage(raw, body) == (raw, False)

    @pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC_MESSAGES])
    @pytest.mark.parametrize("said", [False, None, 1, "true", []])
    def test_what_is_no_stream(self, dialect, said):
        assert dialect.is_stream({"stream": True})
        assert not dialect.is_stream({"stream": said})
        assert not dialect.is_stream({})
