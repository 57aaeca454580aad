"""Running inferences (WIRE section 4)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, NoReturn
from uuid import UUID

import msgspec
from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, not_found
from lucid.api.idempotency import Claim, claim_of, conflict
from lucid.api.openapi import describe
from lucid.api.parsing import check, read_bytes
from lucid.api.rendering import Answer
from orchestrations.books import OrchestrationBooks
from orchestrations.budgets import month_limit
from orchestrations.claims import ID_PREFIX
from orchestrations.gateway import examples
from orchestrations.gateway.accounts import Account, accounts_of
from orchestrations.gateway.asking import (
    DIALECTS,
    Attachment,
    LlmInference,
    forwarded,
    read_members,
    request_to,
)
from orchestrations.gateway.attempts import Attempt, Seen
from orchestrations.gateway.calls import (
    Answered,
    Asked,
    Streaming,
    Unanswered,
    conclude,
    make_call,
)
from orchestrations.gateway.content import SaltedHash
from orchestrations.gateway.dialects import (
    ANTHROPIC_MESSAGES,
    OPENAI_CHAT,
    StreamingDialect,
)
from orchestrations.gateway.relaying import RelayedStream
from orchestrations.gateway.reserving import most_nanocents, most_tokens
from orchestrations.gateway.salts import Salts
from orchestrations.gateway.settling import Settled
from orchestrations.gateway.telling import Told
from orchestrations.gateway.upstream import Exchange
from orchestrations.gateway.worker import this_worker
from orchestrations.models import ContentSalts, Outcome
from orchestrations.recording import Facts, inference_json
from orchestrations.ulid import new_ulid
from orchestrations.usage import Tokens
from orchestrations.views import RECORD_ERRORS, OrchestrationsView
from orchestrations.work import Begin, Scope
from receipts.keyring import Keyring
from receipts.ledger import Submission
from receipts.models import Receipt
from receipts.uuid7 import uuid7
from tenants.authentication import Principal

ERRORS = [
    *RECORD_ERRORS,
    Code.RATE_LIMITED,
    Code.PROVIDER_ERROR,
    Code.PROVIDER_TIMEOUT,
]
# Of a provider's answer, what the caller gets besides its body. Never cookies.
RELAYED = ("content-type", "retry-after", "retry-after-ms", "request-id")
RELAYED_PREFIXES = ("x-ratelimit-", "anthropic-", "openai-")
OVERTIME = timedelta(hours=1)  # after which an attempt that nobody closed is dead
RUN_MARGIN = 60  # seconds
FACTS = ("id", "tenant_id", "mode", "agent_id", "workflow_id")


class Replayed(Exception):
    """The Idempotency-Key was used for a call before, with that receipt."""

    def __init__(self, receipt_id: UUID) -> None:
        super().__init__(str(receipt_id))
        self.receipt_id = receipt_id


class GatewayView(OrchestrationsView):
    scopes = {"POST": "orchestrations:write"}
    http_method_names = ["post"]

    def account(
        self, request: Request, model: str, provider: str | None, able: Any
    ) -> Account:
        principal: Principal = request.auth  # type: ignore[assignment]
        accounts = accounts_of(principal.tenant_id, principal.keyring_version)
        return accounts.choose(model, provider, able)

    def beginner(
        self, request: Request, asked: Asked, claim: Claim | None = None
    ) -> Callable[[int], tuple[Attempt, Keyring]]:
        """Return what makes an attempt at the call durable (`calls.Begin`)."""
        worker_id = this_worker().spool.worker_id

        def begin(number: int) -> tuple[Attempt, Keyring]:
            made: list[tuple[Attempt, Keyring]] = []

            def compose(keyring: Keyring, principal: Principal) -> Submission:
                attempt = _attempt(asked, number, worker_id, keyring, principal)
                made.append((attempt, keyring))
                return _submission(asked, attempt, keyring, claim)

            submission = self.appended(request, compose)
            if submission.answer and claim:
                raise _replay_of(submission, claim)
            (refusal,) = submission.results
            if refusal:
                raise refusal
            return made[-1]

        return begin

    def unanswered(self, error: Unanswered) -> NoReturn:
        raise _failed(error.failure.code, error.failure.message, error.attempt)


def _attempt(
    asked: Asked, number: int, worker_id: UUID, keyring: Keyring, principal: Principal
) -> Attempt:
    now = datetime.now(UTC)
    patience = asked.account.patience
    provider, model = asked.account.provider, asked.model
    return Attempt(
        receipt_id=uuid7(),
        tenant_id=principal.tenant_id,
        mode=principal.mode,
        orchestration_id=asked.facts.id if asked.facts else "",
        provider=provider,
        model=model,
        agent_id=asked.agent_id,
        api_key_id=principal.api_key_id,
        number=number,
        started_at=now,
        input_hash=asked.input_hash,
        ends_run=asked.run is not None,
        reserved=most_nanocents(
            principal.tenant_id, keyring.version, provider, model, asked.most, now
        ),
        worker_id=worker_id,
        deadline=now + timedelta(seconds=patience.total + patience.silence) + OVERTIME,
    )


def _submission(
    asked: Asked, attempt: Attempt, keyring: Keyring, claim: Claim | None
) -> Submission:
    limit = month_limit(attempt.tenant_id, attempt.mode, keyring.version)
    is_first = attempt.number == 1
    work = Begin(
        Scope(attempt.tenant_id, attempt.mode, limit),
        attempt.orchestration_id,
        attempt.row(),
        asked.salts.row(attempt.receipt_id, attempt.tenant_id),
        asked.account.concurrency,
        asked.run if is_first else None,
    )

    def noted(results: list[Any]) -> tuple[int, bytes]:
        # What a repeat of the request needs, and no content. A refusal is not kept.
        return results[0].status if results[0] else 200, attempt.receipt_id.bytes

    submission = Submission(keyring, [], books=OrchestrationBooks, work=work)
    submission.claim = claim if is_first else None
    submission.render = noted
    return submission


def _replay_of(submission: Submission, claim: Claim) -> Exception:
    assert submission.answer is not None  # noqa: S101
    if submission.answer.fingerprint != claim.fingerprint:
        return conflict()
    return Replayed(UUID(bytes=submission.answer.body))


def _failed(
    code: Code,
    message: str,
    attempt: Attempt,
    details: dict[str, list[str]] | None = None,
) -> ApiError:
    """Return the 502 or 504, with the names of its receipt."""
    names = {
        "receipt_id": str(attempt.receipt_id),
        "inference_id": attempt.inference_id,
        "orchestration_id": attempt.orchestration_id or None,
    }
    return ApiError(code, message, details=details, extra=names)


class RunInference(GatewayView):
    """A single prompt, answered with its receipt.

    Without an `orchestration_id`, in an orchestration of this one step.
    """

    @describe(
        "Run an inference and get its answer with a receipt",
        body=LlmInference,
        answer=examples.LLM_INFERENCE,
        errors=ERRORS,
        idempotent=True,
    )
    def post(self, request: Request) -> Answer:
        claims = check(self.json(request, literal=True), LlmInference)
        given = claims.orchestration_id
        facts = self.facts(request, given) if given else None
        account = self.account(request, claims.model, claims.provider, DIALECTS)
        dialect = DIALECTS[account.provider]
        body = claims.compose(dialect)
        run = None
        if facts is None:
            run = _new_run(claims, account, request.auth)  # type: ignore[arg-type]
            facts = Facts(*(run[name] for name in FACTS))
        salts = Salts.fresh()
        limit = dialect.output_limit(msgspec.json.decode(body))
        asked = Asked(
            account,
            dialect,
            claims.model,
            request_to(account, dialect, claims.model, body),
            most_tokens(body, {}, limit),
            salts,
            _hash(salts, request.body),
            claims.agent_id,
            facts,
            run,
            hashes_text=True,
        )
        worker = this_worker()
        worker.slots.take()
        try:
            return self._answer(request, asked)
        finally:
            worker.slots.give_back()

    def _answer(self, request: Request, asked: Asked) -> Answer:
        principal: Principal = request.auth  # type: ignore[assignment]
        claim = claim_of(request, principal.tenant_id, principal.mode)
        worker = this_worker()
        try:
            answered = make_call(asked, self.beginner(request, asked, claim), worker)
        except Unanswered as error:
            self.unanswered(error)
        except Replayed as replayed:
            return self._replayed(request, replayed.receipt_id)
        assert isinstance(answered, Answered)  # noqa: S101  no stream was asked for
        attempt = answered.attempt
        seen, settled = conclude(asked, answered, worker)
        if seen.outcome != Outcome.COMPLETED:
            details = {
                "provider_status": [str(seen.http_status)],
                "provider_message": [seen.error_message or ""],
            }
            message = f"The provider answered {_status(seen)}."
            raise _failed(Code.PROVIDER_ERROR, message, attempt, details)
        assert isinstance(answered.told, Told)  # noqa: S101  else it was malformed
        return Answer(_shown(asked, attempt, seen, settled, answered.told.text))

    def _replayed(self, request: Request, receipt_id: UUID) -> Answer:
        """Answer a repeat from the receipt: the text itself is kept nowhere."""
        principal: Principal = request.auth  # type: ignore[assignment]
        receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
        receipt = receipts.filter(pk=receipt_id).first()
        if receipt is None:
            message = "The call with this Idempotency-Key is still under way."
            raise ApiError(Code.CONFLICT, message)
        shown = receipt.as_json()
        if shown["outcome"] != Outcome.COMPLETED:
            raise ApiError(
                Code.PROVIDER_ERROR,
                "The call with this Idempotency-Key failed; another call needs another"
                " key.",
                extra={"receipt_id": str(receipt_id)},
            )
        salts = Salts.of(ContentSalts.objects.get(pk=receipt_id))
        answer = Answer(_told_of(shown, salts, None))
        answer["Idempotent-Replayed"] = "true"
        return answer


def _new_run(
    claims: LlmInference, account: Account, principal: Principal
) -> dict[str, Any]:
    now = datetime.now(UTC)
    patience = account.patience
    longest = patience.total + patience.silence
    seconds = int(longest * (account.retries + 1)) + RUN_MARGIN
    return {
        "id": f"{ID_PREFIX}{new_ulid()}",
        "tenant_id": principal.tenant_id,
        "mode": principal.mode,
        "api_key_id": principal.api_key_id,
        "agent_id": claims.agent_id,
        "workflow_id": "",
        "name": "",
        "model": claims.model,
        "request": {},
        "max_steps": 1,
        "timeout_seconds": seconds,
        "budget": None,
        "started_at": now,
        "expires_at": now + timedelta(seconds=seconds),
    }


def _status(seen: Seen) -> str:
    if seen.http_status and seen.http_status >= 400:
        try:
            return f"{seen.http_status} {HTTPStatus(seen.http_status).phrase}"
        except ValueError:
            return str(seen.http_status)
    return "what is no JSON object"


def _hash(salts: Salts, data: bytes) -> str:
    digest = SaltedHash(salts.input)
    digest.update(data)
    return digest.hexdigest()


def _shown(
    asked: Asked, attempt: Attempt, seen: Seen, settled: Settled, text: str
) -> dict[str, Any]:
    if settled.receipt:
        return _told_of(settled.receipt, asked.salts, text)
    # The receipt waits for the database. What it will say of tokens and cost cannot
    # be told before it is signed.
    return {
        "success": True,
        "response": text,
        "receipt_id": str(attempt.receipt_id),
        "tokens_used": None,
        "cost": None,
        "cost_cents": None,
        "inference_id": attempt.inference_id,
        "orchestration_id": attempt.orchestration_id,
        "model": attempt.model,
        "provider": attempt.provider,
        "latency_ms": seen.latency_ms,
        "finish_reason": seen.finish_reason,
        "usage": {},
        "receipt": None,
        **asked.salts.as_json(),
    }


def _told_of(receipt: dict[str, Any], salts: Salts, text: str | None) -> dict[str, Any]:
    call = inference_json(receipt, UUID(receipt["receipt_id"]))
    return {
        "success": True,
        "response": text,
        "receipt_id": receipt["receipt_id"],
        "tokens_used": Tokens(**call["usage"]).total if call["usage"] else None,
        "cost": call["cost_cents"],
        "cost_cents": call["cost_cents"],
        "inference_id": call["inference_id"],
        "orchestration_id": call["orchestration_id"],
        "model": call["model"],
        "provider": call["provider"],
        "latency_ms": call["latency_ms"],
        "finish_reason": call.get("finish_reason"),
        "usage": call["usage"],
        "receipt": receipt,
        **salts.as_json(),
    }


class DropIn(GatewayView):
    """A provider's own endpoint: its bytes are relayed unchanged, both ways."""

    dialect: StreamingDialect
    able: frozenset[str]

    def relay(self, request: Request) -> HttpResponseBase:
        raw = read_bytes(request._request, settings.LUCID_GATEWAY_MAX_REQUEST)
        body = read_members(raw)
        attached = Attachment.of(request._request)
        asked = self._asked(request, raw, body, attached)
        worker = this_worker()
        worker.slots.take()
        try:
            reached = make_call(asked, self.beginner(request, asked), worker)
        except Unanswered as error:
            worker.slots.give_back()
            self.unanswered(error)
        except BaseException:
            worker.slots.give_back()
            raise
        if isinstance(reached, Streaming):
            return self._stream(asked, reached)
        try:
            return self._whole(asked, reached)
        finally:
            worker.slots.give_back()

    def _asked(
        self,
        request: Request,
        raw: bytes,
        body: dict[str, Any],
        attached: Attachment,
    ) -> Asked:
        model, run = body["model"], attached.x_lucid_orchestration
        facts = self.facts(request, run) if run else None
        account = self.account(request, model, attached.x_lucid_provider, self.able)
        forward, strips = self.dialect.ask_for_usage(raw, body)
        salts = Salts.fresh()
        sent = request_to(
            account,
            self.dialect,
            model,
            forward,
            forwarded(request._request),
            request._request.META.get("QUERY_STRING", ""),
        )
        return Asked(
            account,
            self.dialect,
            model,
            sent,
            most_tokens(raw, body, self.dialect.output_limit(body)),
            salts,
            _hash(salts, raw),
            attached.x_lucid_agent or (facts.agent_id if facts else ""),
            facts,
            streams=self.dialect.is_stream(body),
            strip_usage=strips,
        )

    def _stream(self, asked: Asked, reached: Streaming) -> HttpResponseBase:
        worker = this_worker()
        body = RelayedStream(
            asked, self.dialect, reached, worker, worker.slots.give_back
        )
        try:
            answer = StreamingHttpResponse(body, status=200)
            _add_headers(answer, asked, reached.attempt, reached.exchange)
        except BaseException:
            body.close()
            raise
        return answer

    def _whole(self, asked: Asked, answered: Answered) -> HttpResponseBase:
        exchange = answered.exchange
        _, settled = conclude(asked, answered, this_worker())
        body = answered.body
        answer: HttpResponseBase
        if body.is_in_memory:
            answer = HttpResponse(b"".join(body), status=exchange.status)
        else:
            answer = StreamingHttpResponse(iter(body), status=exchange.status)
        answer["Content-Length"] = str(body.size)
        _add_headers(answer, asked, answered.attempt, exchange)
        if exchange.status >= 400:  # we have tried as often as makes sense
            answer["X-Should-Retry"] = "false"
        _add_receipt(answer, settled)
        return answer


def _add_headers(
    answer: HttpResponseBase, asked: Asked, attempt: Attempt, exchange: Exchange
) -> None:
    for key, value in exchange.headers:
        name = key.decode("latin-1").lower()
        if name in RELAYED or name.startswith(RELAYED_PREFIXES):
            answer[name] = asked.account.without_credential(value.decode("latin-1"))
    answer["X-Lucid-Receipt-Id"] = str(attempt.receipt_id)
    answer["X-Lucid-Inference-Id"] = attempt.inference_id
    answer["X-Lucid-Provider"] = attempt.provider
    answer["X-Lucid-Input-Salt"] = asked.salts.input.hex()
    answer["X-Lucid-Output-Salt"] = asked.salts.output.hex()


def _add_receipt(answer: HttpResponseBase, settled: Settled) -> None:
    if settled.receipt is None:
        answer["X-Lucid-Receipt-Pending"] = "true"
        return
    answer["X-Lucid-Receipt-Hash"] = settled.receipt["receipt_hash"]
    cents = settled.receipt["cost"].get("cents")
    if cents is not None:
        answer["X-Lucid-Cost-Cents"] = cents


class ChatCompletions(DropIn):
    dialect = OPENAI_CHAT
    able = frozenset({"openai", "custom"})

    @describe(
        "Chat completions as OpenAI has them, relayed with a receipt",
        body=examples.CHAT_SHAPE,
        answer=examples.CHAT,
        errors=ERRORS,
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.relay(request)


class Messages(DropIn):
    dialect = ANTHROPIC_MESSAGES
    able = frozenset({"anthropic", "custom"})

    @describe(
        "Messages as Anthropic has them, relayed with a receipt",
        body=examples.MESSAGES_SHAPE,
        answer=examples.MESSAGE,
        errors=ERRORS,
    )
    def post(self, request: Request) -> HttpResponseBase:
        return self.relay(request)


class InferenceSalts(OrchestrationsView):
    """For a caller who has the text, and has lost what came with it."""

    scopes = {"GET": "orchestrations:read"}

    @describe(
        "The salts of an inference's hashes, until they are erased",
        answer=examples.SALTS,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        principal: Principal = request.auth  # type: ignore[assignment]
        receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
        receipt = receipts.filter(receipt_type="inference").named(name)
        if receipt is None:
            raise not_found("inference")
        row = ContentSalts.objects.filter(pk=receipt.pk).first()
        if row is None:
            raise not_found("salts of this inference")
        salts = Salts.of(row).as_json()
        return Answer({"success": True, "receipt_id": str(row.pk), **salts})
