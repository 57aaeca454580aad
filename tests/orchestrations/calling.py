"""How tests have the gateway make calls, and read what it wrote of them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connections

from orchestrations.gateway.content import SaltedHash
from orchestrations.models import Attempt, Inference, Orchestration, Price
from tenants.models import Tenant
from tests.caller import Caller
from tests.orchestrations.provider import MODEL, QUESTION
from tests.orchestrations.runs import AGENT, exact

INFERENCE = "/v1/orchestrations/llm-inference"
CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
ASKED = {"model": MODEL, "prompt": "Is it covered?", "agent_id": AGENT}


def infer(caller: Caller, claims: dict[str, Any] = ASKED, **headers: str) -> Any:
    return caller.post(INFERENCE, claims, **headers)


def inferred(caller: Caller, **claims: Any) -> dict[str, Any]:
    """Run an inference and return its answer, numbers of money as Decimals."""
    answer = infer(caller, ASKED | claims)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = exact(answer)
    return found


def chat(caller: Caller, body: Any = QUESTION, **headers: str) -> Any:
    return caller.post(CHAT_PATH, body, **headers)


def chat_stream(caller: Caller, **members: Any) -> Any:
    return chat(caller, QUESTION | {"stream": True} | members)


def whole(answer: Any) -> bytes:
    """Read an answer to its end as a server does, and end it."""
    if not answer.streaming:
        return bytes(answer.content)
    try:
        return b"".join(answer.streaming_content)
    finally:
        answer.close()


def read_until_cut(answer: Any) -> bytes:
    """Return what came of a stream before it broke off, which it has to."""
    pieces = []
    with suppress(ConnectionResetError):
        for piece in answer.streaming_content:
            pieces.append(piece)
        raise AssertionError("the stream came to its end")
    answer.close()
    return b"".join(pieces)


def meanwhile(action: Callable[[], object]) -> Callable[[int], None]:
    """Return an `act` of a provider, on whose thread the database is asked."""

    def act(place: int) -> None:
        try:
            action()
        finally:
            connections.close_all()

    return act


def receipt_of(caller: Caller, name: str) -> dict[str, Any]:
    answer = caller.get(f"/v1/inferences/{name}")
    assert answer.status_code == 200, answer.content
    receipt: dict[str, Any] = answer.json()["receipt"]
    return receipt


def receipt_behind(caller: Caller, answer: Any) -> dict[str, Any]:
    """Return the receipt that an answer of a drop-in endpoint, or an error, names."""
    name = answer.headers.get("X-Lucid-Receipt-Id")
    return receipt_of(caller, name or answer.json()["receipt_id"])


def receipts_of(caller: Caller) -> list[dict[str, Any]]:
    """Return the receipts of all calls of a tenant, in the order of the log."""
    rows = Inference.objects.filter(tenant=caller.tenant).order_by("leaf_index")
    return [receipt_of(caller, str(row.receipt_id)) for row in rows]


def row_of(receipt: dict[str, Any]) -> Inference:
    return Inference.objects.get(pk=receipt["receipt_id"])


def only_run(caller: Caller) -> Orchestration:
    return Orchestration.objects.get(tenant=caller.tenant)


def attempts(caller: Caller) -> list[Attempt]:
    return list(Attempt.objects.filter(tenant=caller.tenant))


def salted(salt: str, pieces: bytes | Iterable[bytes]) -> str:
    digest = SaltedHash(bytes.fromhex(salt))
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        digest.update(piece)
    return digest.hexdigest()


def refusal(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    body: dict[str, Any] = answer.json()
    assert body["error_code"] == code
    return body


def set_price(
    tenant: Tenant,
    input_rate: str | int = 2,
    output_rate: str | int = 10,
    model: str = MODEL,
    **columns: Any,
) -> Price:
    """Have calls cost dollars for a million tokens."""
    price = Price(
        tenant=tenant,
        model=model,
        provider=columns.pop("provider", "custom"),
        input_rate=Decimal(input_rate),
        output_rate=Decimal(output_rate),
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        **columns,
    )
    price.full_clean()
    price.save()
    return price
