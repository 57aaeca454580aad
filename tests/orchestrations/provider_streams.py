"""Streams as providers send them, and what is to be read from each."""

import json
from typing import Any

from orchestrations.gateway.dialects import ANTHROPIC_MESSAGES, OPENAI, OPENAI_CHAT
from orchestrations.gateway.telling import Told


def chunk(*choices, **members):
    """Write a chunk as OpenAI does: `usage` is null in all but the last."""
    return {
        "id": "chatcmpl-CLRz1",
        "object": "chat.completion.chunk",
        "created": 1795385869,
        "model": "gpt-5-mini-2025-08-07",
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": list(choices),
        "usage": None,
        "obfuscation": "p2hV",
        **members,
    }


def choice(delta, finish_reason=None, index=0):
    return {
        "index": index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": finish_reason,
    }


def call(index, arguments, **start):
    return {"index": index, **start, "function": {"arguments": arguments}}


def sse(*contents, done=True):
    lines = [f"data: {json.dumps(content)}\n\n" for content in contents]
    return "".join([*lines, "data: [DONE]\n\n" * done]).encode()


def named(*contents, end="\n"):
    """Write events as Anthropic does, each named after its type."""
    return "".join(
        f"event: {content['type']}{end}data: {json.dumps(content)}{end}{end}"
        for content in contents
    ).encode()


CHAT_USAGE = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 256,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
OF_OPENAI: dict[str, Any] = {
    "model": "gpt-5-mini-2025-08-07",
    "request_id": "chatcmpl-CLRz1",
    "usage": CHAT_USAGE,
    "ended": True,
}
USAGE_CHUNK = chunk(usage=CHAT_USAGE)
ROLE = choice({"role": "assistant", "content": "", "refusal": None})
STOP = chunk(choice({}, "stop"))

CHAT = sse(
    chunk(ROLE),
    chunk(choice({"content": "Grüße"})),
    chunk(choice({"content": ", \u2028 \N{GRINNING FACE}"})),
    STOP,
    USAGE_CHUNK,
)
PARALLEL_CALLS = sse(
    chunk(choice({"role": "assistant", "content": None})),
    chunk(choice({"tool_calls": [call(0, "", id="call_1", type="function")]})),
    chunk(choice({"tool_calls": [call(0, '{"city":')]})),
    chunk(choice({"tool_calls": [call(0, '"Rome"}'), call(1, "", id="call_2")]})),
    chunk(choice({"tool_calls": [call(1, '{"city":"data: \\n\\n"}')]})),
    chunk(choice({}, "tool_calls")),
    USAGE_CHUNK,
)
REFUSAL = sse(
    chunk(choice({"role": "assistant", "content": None, "refusal": ""})),
    chunk(choice({"refusal": "I'm sorry"})),
    chunk(choice({"refusal": ", no."})),
    STOP,
    USAGE_CHUNK,
)
TWO_CHOICES = sse(
    chunk(ROLE, choice({"role": "assistant", "content": ""}, index=1)),
    chunk(choice({"content": "other"}, index=1)),
    chunk(choice({"content": "first"}), choice({"content": "!"}, index=1)),
    chunk(choice({}, "content_filter", index=1)),
    chunk(choice({}, "length")),
    USAGE_CHUNK,
)
MODERATED = sse(
    chunk(choice({"role": "assistant", "content": "Hi"})),
    STOP,
    chunk(moderation={"input": {"type": "moderation_results"}}, usage=CHAT_USAGE),
)

# Recorded from llama.cpp's server (xllamacpp 2026.10.11549), shortened.
LLAMA = b"""\
data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant",\
"content":null}}],"created":1795385869,"id":"chatcmpl-gTCq","model":"smollm2-135m",\
"system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hello"}}],\
"created":1795385869,"id":"chatcmpl-gTCq","model":"smollm2-135m",\
"system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"!"}}],\
"created":1795385869,"id":"chatcmpl-gTCq","model":"smollm2-135m",\
"system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}

data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],\
"created":1795385871,"id":"chatcmpl-gTCq","model":"smollm2-135m",\
"system_fingerprint":"b0-unknown","object":"chat.completion.chunk"}

data: {"choices":[],"created":1795385871,"id":"chatcmpl-gTCq","model":"smollm2-135m",\
"system_fingerprint":"b0-unknown","object":"chat.completion.chunk",\
"usage":{"completion_tokens":2,"prompt_tokens":31,"total_tokens":33,\
"prompt_tokens_details":{"cached_tokens":0}},"timings":{"cache_n":0,"prompt_n":31,\
"prompt_ms":336.013,"predicted_n":2,"predicted_per_second":2.5281087774419886}}

data: [DONE]

"""
LLAMA_USAGE = {
    "completion_tokens": 2,
    "prompt_tokens": 31,
    "total_tokens": 33,
    "prompt_tokens_details": {"cached_tokens": 0},
}


def counted(output):
    return {
        "prompt_tokens": 5,
        "completion_tokens": output,
        "total_tokens": 5 + output,
        "cost": 0.00015,
    }


# vLLM with continuous_usage_stats; OpenRouter; a server that knows no choices.
CUMULATIVE = sse(
    chunk(choice({"role": "assistant", "content": ""}), usage=counted(0)),
    chunk(choice({"reasoning_content": "Hm", "reasoning": "Hm"}), usage=counted(1)),
    chunk(choice({"content": "Yes"}), usage=counted(2)),
    chunk(choice({}, "stop"), usage=counted(3)),
)
OPENROUTER = (
    b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"
    + sse(
        chunk(choice({"role": "assistant", "content": "Yes"}), provider="Novita"),
        chunk(choice({"content": ""}, "stop", index=0), usage=counted(3)),
    )
).replace(b"\n", b"\r\n")
BARE = sse(
    {"id": "", "model": "", "choices": [], "prompt_filter_results": []},
    {"id": "a", "model": "m", "choices": [{"delta": {"content": "Yes"}}]},
    {"id": "a", "model": "m", "choices": [{"finish_reason": "stop", "index": None}]},
    {"usage": counted(3)},
    done=False,
)
# Audio goes on after the finish.
AUDIO = sse(
    chunk(choice({"audio": {"id": "audio_1", "transcript": "Yes"}})),
    chunk(choice({}, "stop")),
    chunk(choice({"audio": {"expires_at": 1795389469}})),
    USAGE_CHUNK,
    done=False,
)
PARTS = sse(
    chunk(choice({"content": [{"type": "thinking", "thinking": [{"text": "Hm"}]}]})),
    chunk(choice({"content": [{"type": "text", "text": "Yes"}]}, "stop")),
    USAGE_CHUNK,
)

ANTHROPIC_START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 12304,
            "cache_read_input_tokens": 900,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 12304,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": 1,
            "service_tier": "standard",
            "inference_geo": None,
        },
    },
}
OF_ANTHROPIC: dict[str, Any] = {
    "model": "claude-sonnet-4-5-20250929",
    "request_id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "ended": True,
}


def block(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index, kind, **delta):
    member = {"type": kind, **delta}
    return {"type": "content_block_delta", "index": index, "delta": member}


def stop(index):
    return {"type": "content_block_stop", "index": index}


def message_delta(reason, **usage):
    change = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": change, "usage": usage}


MESSAGE_STOP = {"type": "message_stop"}
PING = {"type": "ping"}

THINKING = named(
    ANTHROPIC_START,
    block(0, type="thinking", thinking="", signature=""),
    PING,
    delta(0, "thinking_delta", thinking="Let me see"),
    delta(0, "summary_delta", text="no"),
    delta(0, "signature_delta", signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
    stop(0),
    block(1, type="text", text=""),
    delta(1, "text_delta", text="Grüße, "),
    delta(1, "citations_delta", citation={"type": "char_location"}),
    delta(1, "text_delta", text="\N{GRINNING FACE}"),
    stop(1),
    message_delta("end_turn", output_tokens=550, input_tokens=None),
    MESSAGE_STOP,
)
TOOLS = named(
    ANTHROPIC_START,
    block(0, type="text", text="Looking"),
    delta(0, "text_delta", text="."),
    stop(0),
    block(1, type="tool_use", id="toolu_01", name="weather", input={}),
    delta(1, "input_json_delta", partial_json=""),
    delta(1, "input_json_delta", partial_json='{"city":'),
    block(2, type="tool_use", id="toolu_02", name="weather", input={}),
    delta(1, "input_json_delta", partial_json='"Rome"}'),
    delta(2, "input_json_delta", partial_json='{"city":"Oslo"}'),
    stop(1),
    stop(2),
    # A server's own tools make several of them, each counting from the beginning.
    message_delta("tool_use", output_tokens=40, input_tokens=10),
    message_delta(
        None,
        output_tokens=90,
        cache_read_input_tokens=None,
        server_tool_use={"web_search_requests": 1},
    ),
    MESSAGE_STOP,
    end="\r\n",
)
ANTHROPIC_USAGE = ANTHROPIC_START["message"]["usage"]

STREAMS = {
    "chat": (
        OPENAI,
        CHAT,
        Told(finish_reason="stop", **OF_OPENAI),
        "Grüße, \u2028 \N{GRINNING FACE}",
        2,
    ),
    "parallel calls": (
        OPENAI,
        PARALLEL_CALLS,
        Told(finish_reason="tool_calls", **OF_OPENAI),
        "",
        5,
    ),
    "refusal": (OPENAI, REFUSAL, Told(finish_reason="stop", **OF_OPENAI), "", 2),
    "choices": (
        OPENAI,
        TWO_CHOICES,
        Told(finish_reason="length", **OF_OPENAI),
        "first",
        3,
    ),
    "moderated": (OPENAI, MODERATED, Told(finish_reason="stop", **OF_OPENAI), "Hi", 1),
    "llama.cpp": (
        OPENAI_CHAT,
        LLAMA,
        Told(
            usage=LLAMA_USAGE,
            model="smollm2-135m",
            request_id="chatcmpl-gTCq",
            finish_reason="length",
            ended=True,
        ),
        "Hello!",
        2,
    ),
    "cumulative": (
        OPENAI_CHAT,
        CUMULATIVE,
        Told(finish_reason="stop", **{**OF_OPENAI, "usage": counted(3)}),
        "Yes",
        2,
    ),
    "openrouter": (
        OPENAI_CHAT,
        OPENROUTER,
        Told(finish_reason="stop", **{**OF_OPENAI, "usage": counted(3)}),
        "Yes",
        1,
    ),
    "bare": (
        OPENAI_CHAT,
        BARE,
        Told(
            usage=counted(3),
            model="m",
            request_id="a",
            finish_reason="stop",
            ended=True,
        ),
        "Yes",
        1,
    ),
    "audio": (OPENAI, AUDIO, Told(finish_reason="stop", **OF_OPENAI), "", 2),
    "parts": (OPENAI_CHAT, PARTS, Told(finish_reason="stop", **OF_OPENAI), "Yes", 2),
    "thinking": (
        ANTHROPIC_MESSAGES,
        THINKING,
        Told(
            finish_reason="end_turn",
            usage={**ANTHROPIC_USAGE, "output_tokens": 550},
            **OF_ANTHROPIC,
        ),
        "Grüße, \N{GRINNING FACE}",
        6,
    ),
    "tools": (
        ANTHROPIC_MESSAGES,
        TOOLS,
        Told(
            finish_reason="tool_use",
            usage={
                **ANTHROPIC_USAGE,
                "input_tokens": 10,
                "output_tokens": 90,
                "server_tool_use": {"web_search_requests": 1},
            },
            **OF_ANTHROPIC,
        ),
        "Looking.",
        4,
    ),
}
