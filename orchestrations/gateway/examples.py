"""Example answers of the gateway, for the OpenAPI document and the docs page."""

from typing import Any

from orchestrations.examples import CALL_RECEIPT, HASH, RECEIPT_ID, RUN

INFERENCE_ID = "inf_01a2042049997657a334894683d401f8"
USAGE = {
    "input_tokens": 14,
    "cache_read_tokens": 0,
    "cache_write_5m_tokens": 0,
    "cache_write_1h_tokens": 0,
    "output_tokens": 9,
    "reasoning_tokens": 0,
}
SALT = "5f1c0f2c9a7e4d3b8a6f5e4d3c2b1a09"
WITNESSED: dict[str, Any] = {
    "schema_version": "1.0",
    "receipt_type": "inference",
    "run_id": INFERENCE_ID,
    "timestamp": 1763837429,
    "issued_at": 1763837430,
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "observed": "witnessed",
    "outcome": "completed",
    "attempt": 1,
    "streamed": False,
    "orchestration_id": RUN,
    "agent_id": "maip-agent:claims-desk",
    "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    "input_hash": HASH,
    "output_hash": HASH,
    "latency_ms": 850,
    "http_status": 200,
    "served_model": "claude-sonnet-4-5-20250929",
    "finish_reason": "end_turn",
    "reported": {"usage": {"input_tokens": 14, "output_tokens": 9}},
    "usage": USAGE,
    "cost": {
        "source": "catalogue",
        "cents": "0.0177",
        "list_price_cents": "0.0177",
        "list_price_basis": "genai-prices 0.2.3",
        "list_price_buckets": {"input": "0.0042", "output": "0.0135"},
    },
    **{
        name: CALL_RECEIPT[name]
        for name in (
            "receipt_hash",
            "receipt_signature",
            "signer_pubkey",
            "signer_kid",
            "signer_type",
        )
    },
    "receipt_id": RECEIPT_ID,
    "_mmr_leaf_index": 7,
    "anchor": None,
}
SALTS = {
    "success": True,
    "receipt_id": RECEIPT_ID,
    "input_salt": SALT,
    "output_salt": SALT,
}
LLM_INFERENCE: dict[str, Any] = {
    "success": True,
    "response": "The claim is covered.",
    "receipt_id": RECEIPT_ID,
    "tokens_used": 23,
    "cost": 0.0177,
    "cost_cents": 0.0177,
    "inference_id": INFERENCE_ID,
    "orchestration_id": RUN,
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "latency_ms": 850,
    "finish_reason": "end_turn",
    "usage": USAGE,
    "receipt": WITNESSED,
    "input_salt": SALT,
    "output_salt": SALT,
}

MESSAGE_SHAPE = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "content": {}},
}
CHAT_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "minLength": 1, "maxLength": 200},
        "messages": {"type": "array", "items": MESSAGE_SHAPE},
        "stream": {"type": "boolean"},
    },
    "description": "Whatever OpenAI takes. X-Lucid-Orchestration, X-Lucid-Agent and"
    " X-Lucid-Provider headers attach the call.",
}
MESSAGES_SHAPE: dict[str, Any] = CHAT_SHAPE | {
    "required": ["model", "messages", "max_tokens"],
    "properties": {**CHAT_SHAPE["properties"], "max_tokens": {"type": "integer"}},
    "description": "Whatever Anthropic takes. X-Lucid-Orchestration, X-Lucid-Agent and"
    " X-Lucid-Provider headers attach the call.",
}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-C9hx3RVrJQ",
    "object": "chat.completion",
    "created": 1763837430,
    "model": "gpt-5-2025-08-07",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The claim is covered."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 14, "completion_tokens": 9, "total_tokens": 23},
}
MESSAGE: dict[str, Any] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "The claim is covered."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 14, "output_tokens": 9},
}
