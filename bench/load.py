"""Load by wrk, one thread of it, as the servers need the machine's cores too."""

import json
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("post.lua")
TIMEOUT_SECONDS = 30  # a slower answer fails the bench

# A receipt as a client with a runtime of its own would ask for it.
RECEIPT = {
    "model_passport_id": "passport:smollm2-135m-instruct",
    "compute_passport_id": "passport:gpu-node-17",
    "policy_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "runtime": "llama.cpp b6123",
    "tokens_in": 412,
    "tokens_out": 128,
    "ttft_ms": 85,
    "total_latency_ms": 1240,
    "timestamp": 1754300000,
    "run_id": "RUN_ID",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
# An LLM call as an agent reports it: priced by the catalogue.
CALL = {
    "model": "claude-sonnet-4-5",
    "provider": "anthropic",
    "usage": {
        "input_tokens": 412,
        "cache_read_input_tokens": 2048,
        "cache_creation_input_tokens": 0,
        "output_tokens": 128,
    },
    "latency_ms": 1240,
    "input_hash": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "output_hash": "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
    "request_id": "req_011CVNWPoJt1rEBfDyzHCDmc",
    "inference_id": "RUN_ID",
}


class LoadFailed(Exception):
    """Not every request was answered with success."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted: times in microseconds, `refused` answers of 400 and up,
    `broken` connections and time-outs.
    """

    requests: int
    duration: int
    p50: int
    p99: int
    slowest: int
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.duration * 1e6


@dataclass(frozen=True, slots=True)
class Target:
    """Where receipts are posted; the keys in the file, one a line, take turns."""

    url: str
    keys: Path
    batch: int = 0  # receipts in a request; 0 posts them singly
    body: dict[str, Any] = field(default_factory=lambda: RECEIPT)
    member: str = "receipts"  # of a batch


def run(target: Target, clients: int, seconds: int) -> Load:
    """Post receipts from `clients` connections; raises LoadFailed for any error."""
    origin, slash, path = target.url.removeprefix("http://").partition("/")
    command = [
        *("wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(SCRIPT)),
        *("--timeout", f"{TIMEOUT_SECONDS}s", f"http://{origin}", "--"),
        *(slash + path, str(target.keys)),
        json.dumps(target.body, separators=(",", ":")),
        *(f"run-{secrets.token_hex(6)}-", str(target.batch), target.member),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 2 * TIMEOUT_SECONDS,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise LoadFailed(f"wrk failed: {done.stdout}{done.stderr}")
    load = Load(**json.loads(lines[-1]))
    if load.refused or load.broken or not load.requests:
        raise LoadFailed(f"{target.url}: {load}")
    return load
