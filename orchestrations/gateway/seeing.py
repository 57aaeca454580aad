"""From what a provider answered, or did not, to what is recorded of it."""

from math import ceil
from typing import Any

from msgspec.structs import replace

from orchestrations.gateway.attempts import Estimate, Seen
from orchestrations.gateway.content import SaltedHash
from orchestrations.gateway.telling import StreamReader, Told, Unreadable
from orchestrations.gateway.upstream import Exchange, Failure
from orchestrations.gateway.whole_answers import WholeAnswer
from orchestrations.models import Outcome
from receipts import canonical

MAX_USAGE = 16 << 10  # bytes as canonical JSON
MALFORMED = "MALFORMED_ANSWER"
BYTES_PER_TOKEN = 4  # of English, as most tokenisers have it
PIECE = 1 << 20  # characters

# Under which names providers tell the id of a request.
REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid")


def request_id_of(exchange: Exchange) -> str | None:
    return next((it for name in REQUEST_IDS if (it := exchange.header(name))), None)


def tokens_of(size: int) -> int:
    return ceil(size / BYTES_PER_TOKEN)


def salted(text: str, salt: bytes) -> tuple[int, str]:
    """Return how many bytes a text has in UTF-8, and their salted hash."""
    digest, size = SaltedHash(salt), 0
    # Piece by piece, as a text may have 50 MB, which twice would be too much.
    for start in range(0, len(text), PIECE):
        piece = text[start : start + PIECE]
        encoded = piece.encode(errors="surrogatepass")
        digest.update(encoded)
        size += len(encoded)
    return size, digest.hexdigest()


def seen_of_failure(failure: Failure, latency_ms: int) -> Seen:
    """Of a provider that gave no answer, or half of one that nobody was given."""
    return Seen(
        outcome=Outcome.FAILED,
        is_charged=failure.is_sent,
        latency_ms=latency_ms,
        error_code=failure.code.value,
        error_message=failure.message,
    )


def seen_of_refusal(exchange: Exchange, message: str, latency_ms: int) -> Seen:
    """Of a provider that answered with an error; those are not charged for."""
    return Seen(
        outcome=Outcome.FAILED,
        is_charged=False,
        latency_ms=latency_ms,
        http_status=exchange.status,
        error_code=f"HTTP_{exchange.status}",
        error_message=message,
        request_id=request_id_of(exchange),
    )


def seen_of_answer(
    exchange: Exchange,
    told: Told | Unreadable,
    request_size: int,
    answer_size: int,
    latency_ms: int,
) -> Seen:
    """Of a whole answer, which may be no JSON."""
    seen = Seen(
        outcome=Outcome.COMPLETED,
        latency_ms=latency_ms,
        http_status=exchange.status,
        request_id=request_id_of(exchange),
    )
    if isinstance(told, Unreadable):
        return replace(
            seen,
            outcome=Outcome.FAILED,
            error_code=MALFORMED,
            error_message="The provider's answer is no JSON object.",
            estimate=Estimate(tokens_of(request_size), tokens_of(answer_size)),
        )
    seen = _telling(seen, told)
    if told.error:  # some hosts answer it with 200; without usage it costs nothing
        seen = _ended_badly(seen, Outcome.FAILED, "PROVIDER_ERROR", told.error)
        return replace(seen, is_charged=told.usage is not None)
    if told.usage is None:
        estimate = Estimate(tokens_of(request_size), tokens_of(told.text_size))
        seen = replace(seen, estimate=estimate)
    return seen


def seen_of_stream(
    exchange: Exchange,
    reader: StreamReader,
    failure: Failure | None,
    request_size: int,
) -> Seen:
    """Of a stream, whole or broken off; its times and hashes are not known here."""
    told = reader.told
    seen = Seen(
        outcome=Outcome.COMPLETED,
        http_status=exchange.status,
        streamed=True,
        request_id=request_id_of(exchange),
    )
    seen = _telling(seen, told)
    if told.error:
        seen = _ended_badly(seen, Outcome.FAILED, "PROVIDER_ERROR", told.error)
    elif failure and not told.ended:
        seen = _ended_badly(seen, Outcome.CUT, failure.code.value, failure.message)
    elif not told.ended:
        message = "The stream ended without its last event."
        seen = _ended_badly(seen, Outcome.CUT, "PROVIDER_ERROR", message)
    if not told.ended or told.usage is None:
        estimate = Estimate(tokens_of(request_size), reader.pieces)
        seen = replace(seen, estimate=estimate)
    return seen


def _ended_badly(seen: Seen, outcome: Outcome, code: str, message: str) -> Seen:
    return replace(seen, outcome=outcome, error_code=code, error_message=message)


def _telling(seen: Seen, told: Told) -> Seen:
    return replace(
        seen,
        served_model=told.model,
        request_id=seen.request_id or told.request_id,
        finish_reason=told.finish_reason,
        usage=None if told.usage is None else signable(told.usage),
    )


def signable(usage: dict[str, Any]) -> dict[str, Any]:
    """Return a provider's usage object as far as a receipt can hold it.

    Members that are no canonical JSON, or larger than any count has reason to be,
    are left out.
    """
    kept, room = {}, MAX_USAGE
    for name, value in usage.items():
        try:
            size = len(canonical.dumps({name: value}))
        except (ValueError, RecursionError):
            continue
        if size <= room:
            kept[name] = value
            room -= size
    return kept


def message_of(whole: WholeAnswer, told: Told | Unreadable) -> str:
    """Return what an error answer says: its message, or how it begins."""
    if isinstance(told, Told) and told.error:
        return told.error
    return next(iter(whole), b"")[:200].decode(errors="replace")
