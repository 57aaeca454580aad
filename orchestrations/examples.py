"""Example answers, for the OpenAPI document and the docs page."""

from typing import Any

from receipts import examples

RUN = "maip-orch:01KATVZ3Z0N4YB6T7V9H2QWE5R"
HASH = examples.HASH
RECEIPT_ID = "01a20420-4999-7657-a334-894683d401f8"
STARTED = "2026-11-22T18:50:29.120000Z"
TOKENS = {
    "input_tokens": 3,
    "cache_read_tokens": 0,
    "cache_write_5m_tokens": 12304,
    "cache_write_1h_tokens": 0,
    "output_tokens": 550,
    "reasoning_tokens": 0,
}
SUMMARY: dict[str, Any] = {
    "id": RUN,
    "orchestration_id": RUN,
    "agent_id": "maip-agent:claims-desk",
    "workflow_id": "claims",
    "name": "Claim 4711",
    "model": "claude-sonnet-4-5",
    "status": "running",
    "max_steps": 10,
    "timeout_seconds": 300,
    "started_at": STARTED,
    "created_at": STARTED,
    "expires_at": "2026-11-22T18:55:29.120000Z",
    "completed_at": None,
    "error": None,
    "output_hash": None,
    "receipt_id": None,
    "total_cost_cents": 6.4399,
    "inference_cost_cents": 5.4399,
    "step_cost_cents": 1.0,
    "list_price_cents": 5.4399,
    "total_tokens": 12857,
    "usage": TOKENS,
    "inference_count": 1,
    "unpriced_count": 0,
    "contradictory_count": 0,
    "failed_count": 0,
    "step_count": 1,
    "inferences": {"count": 1, "root": HASH},
    "budget": {
        "limit_cents": 50.0,
        "spent_cents": 6.4399,
        "remaining_cents": 43.5601,
        "exceeded": False,
    },
}
ONE_STEP: dict[str, Any] = {
    "step_number": 1,
    "action": "tool_call",
    "name": "look_up_policy",
    "agent_id": "maip-agent:claims-desk",
    "result": "policy 17 found",
    "duration_ms": 84,
    "cost_cents": 1.0,
    "input_hash": HASH,
    "output_hash": HASH,
    "recorded_at": STARTED,
}
ORCHESTRATION = {
    "success": True,
    **SUMMARY,
    "adjusted_cost_cents": 6.4399,
    "agents": ["maip-agent:claims-desk"],
    "input": {"claim": 4711},
    "parameters": {"temperature": 0},
    "metadata": {"team": "claims"},
    "steps": [ONE_STEP],
    "output": None,
    "sequence": {
        "first": 1,
        "last": 4,
        "missing": 1,
        "gaps": [[2, 2]],
        "duplicates": [4],
    },
}
ORCHESTRATIONS = {
    "success": True,
    "orchestrations": [SUMMARY],
    "next_cursor": "01KATVZ3Z0N4YB6T7V9H2QWE5R",
}
ENDED = {
    "success": True,
    **SUMMARY,
    "status": "completed",
    "completed_at": STARTED,
    "receipt_id": RECEIPT_ID,
    "output": {"decision": "pay"},
}
STEP = {"success": True, "orchestration_id": RUN, **ONE_STEP}
CALL: dict[str, Any] = {
    "inference_id": "inf_0af7651916cd43dd8448eb211c80319c",
    "orchestration_id": RUN,
    "agent_id": "maip-agent:claims-desk",
    "step_name": "decide",
    "sequence": 1,
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "prompt_tokens": 12307,
    "completion_tokens": 550,
    "usage": TOKENS,
    "usage_contradictions": ["The total of 9 is not the sum of its parts, 8."],
    "latency_ms": 2410,
    "cost_cents": 5.4399,
    "cost_source": "catalogue",
    "list_price_cents": 5.4399,
    "request_id": "req_011CVNWPoJ",
    "input_hash": HASH,
    "output_hash": HASH,
    "observed": "reported",
    "started_at": "2026-11-22T18:50:27Z",
    "recorded_at": "2026-11-22T18:50:30Z",
    "receipt_id": RECEIPT_ID,
    "receipt_hash": HASH,
}
INFERENCE = {"success": True, **CALL}
INFERENCES = {"success": True, "inferences": [CALL], "next_cursor": "YzQ4MjAx"}
RESULTS = {"success": True, "results": [{"status": 201, "inference": CALL}]}
CALL_RECEIPT: dict[str, Any] = {
    "schema_version": "1.0",
    "receipt_type": "inference",
    "run_id": CALL["inference_id"],
    "timestamp": 1795373427,
    "issued_at": 1795373430,
    "orchestration_id": RUN,
    "agent_id": "maip-agent:claims-desk",
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "observed": "reported",
    "usage": TOKENS,
    "cost": {"source": "catalogue", "cents": "5.4399", "list_price_cents": "5.4399"},
    **{
        name: examples.RECEIPT[name]
        for name in (
            "receipt_hash",
            "receipt_signature",
            "signer_pubkey",
            "signer_kid",
            "signer_type",
            "receipt_id",
            "_mmr_leaf_index",
            "anchor",
        )
    },
}
ONE_INFERENCE = {"success": True, **CALL, "receipt": CALL_RECEIPT}
RUN_RECEIPTS = {
    "success": True,
    "orchestration_id": RUN,
    "inferences": {"count": 1, "root": HASH},
    "receipts": [CALL_RECEIPT],
    "final_receipt": CALL_RECEIPT
    | {
        "receipt_type": "orchestration",
        "status": "completed",
        "inferences": {"count": 1, "root": HASH},
    },
    "next_cursor": "YzQ4MjAx",
}
COUNTED = {
    "success": True,
    "proof": {
        "orchestration_id": RUN,
        "receipt_hash": HASH,
        "leaf_index": 0,
        "tree_size": 2,
        "root": HASH,
        "proof": examples.SIBLINGS,
        "final_receipt_id": RECEIPT_ID,
    },
}
