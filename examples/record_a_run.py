"""Run a real model on this machine and have the run notarised.

Starts llama.cpp's server with SmolLM2-135M, asks it a question, reports the run to
Lucid with what was measured, then verifies the receipt offline. Needs the packages
of the extra `demo` and a running Lucid:

    LUCID_API_KEY=lk_test_... python examples/record_a_run.py
"""

import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from local_model import MODEL, model_server, weights
from offline import verify_offline

LUCID = os.environ.get("LUCID_URL", "http://127.0.0.1:8000")
PROMPT = "In one sentence: what does a notary do?"
POLICY = Path(__file__).with_name("policy.json")  # what this agent may do


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def generate(url: str) -> dict[str, Any]:
    """Stream an answer; return its text, the server's token counts, and the times."""
    request = {
        "model": MODEL,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": 60,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    text, first = "", None
    usage: dict[str, Any] = {}
    start = time.monotonic()
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=request, timeout=120
    ) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                if piece := choice["delta"].get("content"):
                    first = first or time.monotonic()
                    text += piece
    end = time.monotonic()
    return {
        "text": text,
        "usage": usage,
        "ttft_ms": round(((first or end) - start) * 1000),
        "total_latency_ms": round((end - start) * 1000),
    }


def report(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    claims = {
        "model_passport_id": "smollm2-135m-instruct-q4_1",
        "compute_passport_id": platform.node() or "this-machine",
        "model_hash": sha256(weights()),
        "policy_hash": sha256(POLICY),
        "runtime": "llama.cpp (xllamacpp)",
        "tokens_in": run["usage"]["prompt_tokens"],
        "tokens_out": run["usage"]["completion_tokens"],
        "ttft_ms": run["ttft_ms"],
        "total_latency_ms": run["total_latency_ms"],
    }
    answer = client.post("/v1/receipts", json=claims)
    answer.raise_for_status()
    return dict(answer.json()["receipt"])


def main() -> int:
    key = os.environ.get("LUCID_API_KEY")
    if not key:
        sys.exit("Set LUCID_API_KEY to the key that `make run` printed.")
    with model_server() as url:
        run = generate(url)
    print(f"> {PROMPT}\n{run['text'].strip()}\n")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=LUCID, headers=headers) as client:
        receipt = report(client, run)
        print(json.dumps(receipt, indent=2), "\n", flush=True)
        run_id = receipt["run_id"]
        proof = client.get(f"/v1/receipts/{run_id}/proof").raise_for_status().json()
        # Whoever audits pins this key once, from a source they trust.
        vkey = client.get("/v1/signer/pubkey").raise_for_status().json()["vkey"]
    return verify_offline(receipt, proof, vkey)


if __name__ == "__main__":
    sys.exit(main())
