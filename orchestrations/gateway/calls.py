"""A call to a provider: begun in the ledger, made, tried again, and recorded.

Nothing is asked of a provider before the attempt is durable, and every attempt gets
its own receipt, whatever becomes of it.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any

from django.db import connection
from msgspec.structs import replace

from lucid.api.errors import ApiError, Code
from orchestrations.gateway.accounts import Account
from orchestrations.gateway.attempts import Attempt, Seen
from orchestrations.gateway.dialects import Dialect
from orchestrations.gateway.redacting import REMOVED, quotable
from orchestrations.gateway.retrying import pause_after
from orchestrations.gateway.salts import Salts
from orchestrations.gateway.seeing import (
    BYTES_PER_TOKEN,
    message_of,
    salted,
    seen_of_answer,
    seen_of_failure,
    seen_of_refusal,
)
from orchestrations.gateway.settling import Settled, withdraw
from orchestrations.gateway.telling import Told, Unreadable
from orchestrations.gateway.upstream import Exchange, Failure, NotCalled, Request
from orchestrations.gateway.whole_answers import WholeAnswer
from orchestrations.gateway.worker import Worker
from orchestrations.models import Orchestration, Outcome
from orchestrations.recording import Facts
from orchestrations.settling import end
from orchestrations.usage import Tokens
from receipts.keyring import Keyring

logger = logging.getLogger(__name__)

EVENT_STREAM = "text/event-stream"

# The text of an answer is in memory while it is read: of large ones, one at a time.
_reading_large = threading.Lock()

INTERNAL_ERROR = Seen(
    outcome=Outcome.UNKNOWN,
    error_code="INTERNAL_ERROR",
    error_message="A fault on our side ended the call; it has been logged.",
    delivered=False,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a provider, and on whose behalf.

    `most` is the most that it may come to, in tokens. `run` is of a Start: of an
    orchestration that is begun for this call alone. The hash of the output is of
    the bytes that the caller gets, or of the text where `hashes_text`.
    """

    account: Account
    dialect: Dialect
    model: str
    request: Request
    most: Tokens
    salts: Salts
    input_hash: str
    agent_id: str
    facts: Facts | None
    run: dict[str, Any] | None = None
    streams: bool = False
    strip_usage: bool = False
    hashes_text: bool = False

    @property
    def sent_size(self) -> int:
        """Return the bytes to estimate the input by: of images only what may count."""
        return min(len(self.request.body), BYTES_PER_TOKEN * self.most.input_total)

    def without_credential(self, seen: Seen) -> Seen:
        """Return what was seen without our key, which some providers repeat."""
        if seen.error_message is None:
            return seen
        told = quotable(seen.error_message, self.account.credential)
        return replace(seen, error_message=told)


@dataclass(frozen=True, slots=True)
class Answered:
    """A provider's whole answer, and what it tells.

    Its text is kept for a caller that gets it apart from the body; of others there is
    the salted hash.
    """

    attempt: Attempt
    keyring: Keyring
    exchange: Exchange
    body: WholeAnswer
    told: Told | Unreadable
    text_hash: str | None


@dataclass(frozen=True, slots=True)
class Streaming:
    """A provider's stream, of which the first bytes are there."""

    attempt: Attempt
    keyring: Keyring
    exchange: Exchange
    first: bytes


class Unanswered(Exception):
    """There was no answer, and there is a receipt that says so."""

    def __init__(self, failure: Failure, attempt: Attempt) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.attempt = attempt


Begin = Callable[[int], tuple[Attempt, Keyring]]


def make_call(asked: Asked, begin: Begin, worker: Worker) -> Answered | Streaming:
    """Call the provider, again where that may help; return the last answer.

    `begin` makes an attempt durable, or raises why there must be none. What is
    returned is not recorded yet. Raises Unanswered, and the ApiError of a provider
    that we do not call.
    """
    for number in count(1):
        try:
            attempt, keyring = begin(number)
        except ApiError as refusal:
            if number > 1:
                _end_run(asked, refusal)
                refusal.extra["receipt_id"] = str(attempt.receipt_id)
            raise
        _release_connection()
        can_retry = number <= asked.account.retries
        started = time.monotonic()
        try:
            reached = _reach(asked, attempt, keyring)
            if isinstance(reached, Streaming):
                return reached
            pause = pause_after(number, reached.exchange) if can_retry else None
            if pause is None:
                return reached
            seen = seen_of(asked, reached)
        except NotCalled as error:
            _withdraw(attempt, keyring, str(error), worker)
            raise ApiError(Code.PROVIDER_ERROR, str(error)) from None
        except Failure as failure:
            pause = pause_after(number, failure) if can_retry else None
            seen = seen_of_failure(failure, _since(started))
            if pause is None:
                worker.settle(attempt, seen, asked.facts, keyring)
                raise Unanswered(failure, attempt) from None
        except BaseException:
            worker.settle(attempt, INTERNAL_ERROR, asked.facts, keyring)
            raise
        seen = replace(seen, is_final=False)
        worker.settle(attempt, seen, asked.facts, keyring)
        time.sleep(pause)
    raise AssertionError  # count() has no end


def _end_run(asked: Asked, refusal: ApiError) -> None:
    """End a run that was begun for a call whose next attempt there must not be."""
    if asked.run is None:
        return
    error = {"code": refusal.code.value, "message": refusal.message}
    try:
        run = Orchestration.objects.get(pk=asked.run["id"])
        end(run, Orchestration.Status.FAILED, {"error": error}, due=False)
    except Exception:
        logger.exception("%s is left to its time-out", asked.run["id"])


def _release_connection() -> None:
    """Give the database connection back for as long as the provider takes."""
    if connection.vendor == "postgresql":
        connection.close()


def _withdraw(attempt: Attempt, keyring: Keyring, message: str, worker: Worker) -> None:
    try:
        withdraw(attempt, keyring, message)
    except Exception:
        logger.exception("%s could not be taken back yet", attempt.receipt_id)
        worker.take_back(attempt)


def _reach(asked: Asked, attempt: Attempt, keyring: Keyring) -> Answered | Streaming:
    exchange = asked.account.upstream.send(asked.request)
    try:
        if asked.streams and _is_stream(exchange):
            return Streaming(attempt, keyring, exchange, next(exchange, b""))
        whole = WholeAnswer.of(exchange)
    except BaseException:
        exchange.close()
        raise
    exchange.close()
    if exchange.is_refusal:
        whole = _without_credential(asked.account, whole)
    told, text_hash = _read(asked, whole)
    return Answered(attempt, keyring, exchange, whole, told, text_hash)


def _is_stream(exchange: Exchange) -> bool:
    return exchange.status == 200 and EVENT_STREAM in exchange.header("Content-Type")


def _without_credential(account: Account, whole: WholeAnswer) -> WholeAnswer:
    """Return an error answer without our key, which some providers repeat."""
    secret = account.credential.encode()
    with whole.data() as data:
        if not secret or data.find(secret) < 0:
            return whole
        return WholeAnswer(data[:].replace(secret, REMOVED.encode()))


def _read(asked: Asked, whole: WholeAnswer) -> tuple[Told | Unreadable, str | None]:
    """Return what an answer tells, and the salted hash of its text if it has one."""
    in_turn = nullcontext() if whole.is_in_memory else _reading_large
    with in_turn, whole.data() as data:
        try:
            told = asked.dialect.read_body(data)
        except Unreadable as error:
            return error, None
        told.text_size, text_hash = salted(told.text, asked.salts.output)
        if not asked.hashes_text:
            told.text = ""
    return told, text_hash if told.text_size else None


def conclude(asked: Asked, answered: Answered, worker: Worker) -> tuple[Seen, Settled]:
    """Record a whole answer, which nothing is to keep from whoever asked for it."""
    try:
        seen = seen_of(asked, answered)
    except Exception:
        logger.exception("%s cannot be read", answered.attempt.receipt_id)
        seen = INTERNAL_ERROR
    attempt, keyring = answered.attempt, answered.keyring
    return seen, worker.settle(attempt, seen, asked.facts, keyring)


def seen_of(asked: Asked, answered: Answered) -> Seen:
    """Return what was seen of a whole answer."""
    body, told, exchange = answered.body, answered.told, answered.exchange
    salt = asked.salts.output
    latency = _since(exchange.started)
    if exchange.is_refusal:
        seen = seen_of_refusal(exchange, message_of(body, told), latency)
        seen = asked.without_credential(seen)
        if asked.hashes_text:  # the caller does not get the error's own bytes
            return seen
        return replace(seen, output_hash=body.hash(salt))
    seen = seen_of_answer(exchange, told, asked.sent_size, body.size, latency)
    seen = asked.without_credential(seen)
    if asked.hashes_text:
        return replace(seen, output_hash=answered.text_hash or salted("", salt)[1])
    return replace(
        seen, output_hash=body.hash(salt), output_text_hash=answered.text_hash
    )


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
