"""Example answers about receipts of agents, for the OpenAPI document and docs page."""

from typing import Any

from orchestrations.examples import RUN
from receipts import examples

METADATA: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "prompt_hash": examples.HASH,
    "completion_hash": examples.HASH,
    "input_tokens": 42,
    "output_tokens": 128,
    "total_tokens": 170,
    "estimated_cost_usd": 0.002046,
    "latency_ms": 850,
    "receipt_type": "llm_call_receipt",
}
AGENT_RECEIPT: dict[str, Any] = {
    "id": "01a20420-4999-7657-a334-894683d401f8",
    "receipt_id": "01a20420-4999-7657-a334-894683d401f8",
    "run_id": "inf_0af7651916cd43dd8448eb211c80319c",
    "status": "valid",
    "created_at": "2026-11-22T18:50:30Z",
    "agent_id": "maip-agent:claims-desk",
    "receipt_type": "action",
    "action": "llm_call_receipt",
    "purpose": "integration evidence",
    "metadata": METADATA,
    "inputs_hash": examples.HASH,
    "outputs_hash": examples.HASH,
    "orchestration_id": RUN,
    "receipt_hash": examples.HASH,
    "signature": examples.RECEIPT["receipt_signature"],
    "signing_envelope": {"alg": "Ed25519", "kid": examples.RECEIPT["signer_kid"]},
    "chain_hash": examples.HASH,
    "log_index": 4821,
}
ONE_AGENT_RECEIPT = {"success": True, **AGENT_RECEIPT}
AGENT_RECEIPTS = {
    "success": True,
    "receipts": [AGENT_RECEIPT],
    "total": 1,
    "next_cursor": "YzQ4MjE",
}
AGENT_VERIFICATION = {
    "success": True,
    "valid": True,
    "verdict": "VALID",
    "reason": "Hash, signature and place in the log are as they were made.",
    "receipt_id": AGENT_RECEIPT["receipt_id"],
    "signature_verified": True,
    "transparency_verified": True,
    "chain_verified": True,
    "receipt": AGENT_RECEIPT,
}
