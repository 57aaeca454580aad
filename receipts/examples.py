"""Example requests and answers, for the OpenAPI document and the docs page."""

from typing import Any

HASH = "ebd442d1137c15400d93146f58ea81eb1f3d68ff660c37ad552751173f184e9b"
ORIGIN = "notary.example.com/log/acme"
KID = "tSegBnEojVdWdAnZl7zH5Dh_0mw2-IBQnlrKgqmy0dU"
PUBLIC_KEY = "4qGZ3G9GP3tPzZhvmaoqz1hqW3DE3jsYQxLXzwYX7x4c"
VKEY = f"{ORIGIN}+5b1836e4+AYH3zkExBe+eFnnYBzAVjbBAili7j36K2jnF2KHend+m"
CHECKPOINT = (
    f"{ORIGIN}\n3\ndXE/RRfTRYeJqCrEKmMVdB5LoAHH7rlrflFA8RL0QlM=\n\n— {ORIGIN} WxgG5I…\n"
)

RECEIPT: dict[str, Any] = {
    "schema_version": "1.0",
    "receipt_type": "compute",
    "run_id": "run-1",
    "timestamp": 1795346223,
    "issued_at": 1795346224,
    "model_passport_id": "ppt_model_7xK9mQ2v",
    "compute_passport_id": "ppt_compute_Xn5vR2kJ",
    "policy_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "runtime": "vllm",
    "metrics": {"tokens_in": 42, "tokens_out": 128, "ttft_ms": 85},
    "receipt_hash": HASH,
    "receipt_signature": "1aa2e978304a9473bea22f424e39a1228587dbec…",
    "signer_pubkey": PUBLIC_KEY,
    "signer_kid": KID,
    "signer_type": "orchestrator",
    "receipt_id": "01a20420-4999-7657-a334-894683d401f8",
    "_mmr_leaf_index": 1,
    "anchor": None,
}
ONE_RECEIPT = {"success": True, "receipt": RECEIPT}
RECEIPTS = {"success": True, "receipts": [RECEIPT], "next_cursor": "YzQ4MjAx"}
RESULTS = {"success": True, "results": [{"status": 200, "receipt": RECEIPT}]}
SIBLINGS = ["19b1f9d1a2cde3b8a2a4e5b3f1c8d7a6e5f4c3b2a1908f7e6d5c4b3a29181706"]
VERIFICATION = {
    "success": True,
    "valid": True,
    "hash_valid": True,
    "signature_valid": True,
    "inclusion_valid": True,
    "expected_hash": HASH,
    "computed_hash": HASH,
    "merkle_root": HASH,
    "verdict": "VALID",
}
PROOF = {
    "success": True,
    "proof": {
        "run_id": "run-1",
        "receipt_hash": HASH,
        "leaf": "eyJjb21wdXRlX3Bhc3Nwb3J0X2lkIjoi…",
        "leaf_hash": HASH,
        "leaf_index": 1,
        "proof": SIBLINGS,
        "siblings": SIBLINGS,
        "directions": ["L"],
        "root": HASH,
        "tree_size": 2,
        "origin": ORIGIN,
        "checkpoint": CHECKPOINT,
        "proof_type": "rfc6962",
        "key_set": f"{ORIGIN}/keys\nlucid-key-set/v1\nsize 2\n…",
        "vkey": VKEY,
    },
}
HASH_VERIFICATION = {
    "success": True,
    "verified": True,
    "verdict": "VALID",
    "receipt_hash": HASH,
    "run_id": "run-1",
    "hash_valid": True,
    "signature_valid": True,
    "signer_pubkey": PUBLIC_KEY,
    "signer_type": "orchestrator",
    "inclusion_proof": {
        "leaf_index": 1,
        "proof": SIBLINGS,
        "root": HASH,
        "directions": ["L"],
    },
    "inclusion_valid": True,
    "epoch": None,
}
TREE_HEAD = {"success": True, "root": HASH, "leaf_count": 2}
SIGNER = {
    "success": True,
    "signer_type": "orchestrator",
    "pubkey": PUBLIC_KEY,
    "pubkey_hex": "38f0865702fbcc21de1fe8a93ea5623254dd33717802259570a9fe401fa3eebd",
    "kid": KID,
    "origin": ORIGIN,
    "vkey": VKEY,
    "vkeys": [VKEY],
}
KEYS = {
    "keys": [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": KID,
            "x": "OPCGVwL7zCHeH-ipPqViMlTdM3F4AiWVcKn-QB-j7r0",
            "purpose": "receipt",
            "mode": "live",
            "origin": ORIGIN,
            "status": "active",
            "first_index": 0,
            "last_index": None,
        }
    ]
}
CONSISTENCY = {
    "success": True,
    "origin": ORIGIN,
    "from": 1,
    "to": 2,
    "proof": SIBLINGS,
    "checkpoint": CHECKPOINT,
}
TILE = "(bytes)"
TLOG_PROOF = (
    "c2sp.org/tlog-proof@v1\nindex 1\nGbH50aLN47iipOWz8cjXpuX0w7KhkI9+bVxLOikYFwY=\n"
    f"\n{CHECKPOINT}"
)
BUNDLE = (
    "(a zip: receipts/, proofs/, checkpoint.txt, keys.txt, keys.json, manifest.json,"
    " manifest.sig, verify.py, README.txt)"
)
