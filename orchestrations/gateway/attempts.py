"""A call to a provider as it is begun, and what was seen of it in the end.

Both can be written to a file and read back: what a worker saw has to outlive the
database's absence, and the worker.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from orchestrations.models import Outcome


class Attempt(msgspec.Struct, frozen=True):
    """The row of `orchestrations.models.Attempt`; `reserved` is nanocents."""

    receipt_id: UUID
    tenant_id: UUID
    mode: str
    orchestration_id: str
    provider: str
    model: str
    agent_id: str
    api_key_id: UUID
    number: int
    started_at: datetime
    input_hash: str
    ends_run: bool
    reserved: int
    worker_id: UUID
    deadline: datetime

    @property
    def inference_id(self) -> str:
        return f"inf_{self.receipt_id.hex}"

    def row(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)


class Estimate(msgspec.Struct, frozen=True):
    """Tokens that nobody reported, as well as we can tell."""

    input_tokens: int
    output_tokens: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a call.

    `is_final`: no other attempt follows. `is_charged`: False when it cannot have cost
    anything. `usage` is the provider's own object; `estimate` stands in for what it
    does not say. `ttft_ms` is to the first bytes of a stream.
    """

    outcome: Outcome
    is_final: bool = True
    is_charged: bool = True
    latency_ms: int | None = None
    ttft_ms: int | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    served_model: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    estimate: Estimate | None = None
    streamed: bool = False
    delivered: bool = True
    output_hash: str | None = None
    output_text_hash: str | None = None


SERVER_DIED = Seen(
    outcome=Outcome.UNKNOWN,
    error_code="SERVER_DIED",
    error_message="The server ended during the call. What became of it is not known.",
    delivered=False,
)
