"""What a caller may claim in a receipt of type `compute` (WIRE section 2)."""

import time
import uuid
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from lucid.api.errors import invalid
from receipts import canonical

MAX_ATTESTATION = 32 << 10  # bytes of canonical JSON
MILLISECONDS_FROM = 10**11  # a timestamp from here on is in milliseconds
MAX_AHEAD = 86_400  # seconds

# PostgreSQL's text cannot hold NUL, and no claim has a use for the others.
NO_CONTROLS = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_CONTROLS)]
OptionalText = Annotated[str, Meta(max_length=200, pattern=NO_CONTROLS)] | None
Hash = Annotated[str, Meta(pattern=r"\A[0-9A-Fa-f]{64}\Z")]
Count = Annotated[int, Meta(ge=0, le=canonical.MAX_INTEGER)]

OPTIONAL_TEXTS = (
    "trace_id",
    "image_hash",
    "model_hash",
    "execution_mode",
    "node_id",
    "runtime_hash",
    "gpu_fingerprint",
)


class NewReceipt(msgspec.Struct, frozen=True):
    """The body of POST /v1/receipts. Null, "" and absent are the same for optionals."""

    model_passport_id: Text
    compute_passport_id: Text
    policy_hash: Hash
    runtime: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_CONTROLS)]
    tokens_in: Count
    tokens_out: Count
    ttft_ms: Count
    total_latency_ms: Count | None = None
    timestamp: Count | None = None
    run_id: OptionalText = None
    trace_id: OptionalText = None
    image_hash: OptionalText = None
    model_hash: OptionalText = None
    execution_mode: OptionalText = None
    node_id: OptionalText = None
    runtime_hash: OptionalText = None
    gpu_fingerprint: OptionalText = None
    attestation: dict[str, Any] | None = None

    def check(self) -> None:
        """Raise the 400 for what a type cannot say."""
        details: dict[str, list[str]] = {}
        if self.run_id and not is_run_id(self.run_id):
            details["run_id"] = [
                "Expected 1-200 printable characters without '/', not '.' or '..'."
            ]
        if self.attestation is not None:
            size = len(canonical.dumps(self.attestation))
            if size > MAX_ATTESTATION:
                details["attestation"] = [
                    f"{size} bytes as canonical JSON; at most {MAX_ATTESTATION}."
                ]
        seconds = self.claimed_time()
        if seconds is not None and seconds > time.time() + MAX_AHEAD:
            details["timestamp"] = ["More than a day ahead of our clock."]
        if details:
            raise invalid(details)

    def claimed_time(self) -> int | None:
        """Return the claimed time in Unix seconds."""
        if self.timestamp is None or self.timestamp < MILLISECONDS_FROM:
            return self.timestamp
        return self.timestamp // 1000

    def run_id_or_new(self) -> str:
        return self.run_id or f"run_{uuid.uuid4().hex}"

    def members(self) -> dict[str, Any]:
        """Return the members of the receipt's body that these claims make."""
        members: dict[str, Any] = {
            "model_passport_id": self.model_passport_id,
            "compute_passport_id": self.compute_passport_id,
            "policy_hash": self.policy_hash.lower(),
            "runtime": self.runtime,
        }
        for name in OPTIONAL_TEXTS:
            if value := getattr(self, name):
                members[name] = value
        if self.attestation is not None:
            members["attestation"] = self.attestation
        members["metrics"] = {
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "ttft_ms": self.ttft_ms,
        }
        if self.total_latency_ms is not None:
            members["metrics"]["total_latency_ms"] = self.total_latency_ms
        return members


def is_run_id(text: str) -> bool:
    return text.isprintable() and "/" not in text and text not in {".", ".."}
