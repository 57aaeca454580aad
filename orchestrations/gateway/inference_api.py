"""POST /v1/orchestrations/llm-inference, and the salts of calls (WIRE section 4)."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, not_found
from lucid.api.idempotency import claim_of
from lucid.api.openapi import describe
from lucid.api.parsing import check
from lucid.api.rendering import Answer
from orchestrations.claims import ID_PREFIX
from orchestrations.gateway import examples
from orchestrations.gateway.accounts import Account
from orchestrations.gateway.asking import DIALECTS, LlmInference, request_to
from orchestrations.gateway.attempts import Attempt, Seen
from orchestrations.gateway.calls import (
    Answered,
    Asked,
    Unanswered,
    conclude,
    make_call,
)
from orchestrations.gateway.reserving import most_tokens
from orchestrations.gateway.salts import Salts
from orchestrations.gateway.seeing import MALFORMED
from orchestrations.gateway.settling import Settled
from orchestrations.gateway.telling import Told
from orchestrations.gateway.view import ERRORS, GatewayView, Replayed, failed
from orchestrations.gateway.worker import this_worker
from orchestrations.inference_api import inference_receipt
from orchestrations.models import Attempt as AttemptRow
from orchestrations.models import ContentSalts, Outcome
from orchestrations.recording import Facts, inference_json
from orchestrations.ulid import new_ulid
from orchestrations.usage import Tokens
from orchestrations.views import OrchestrationsView
from receipts.models import Receipt
from tenants.authentication import Principal

RUN_MARGIN = 60  # seconds
FACTS = ("id", "tenant_id", "mode", "agent_id", "workflow_id")


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
        return self.with_current_accounts(
            lambda: self._run_inference(request, self._asked(request, claims))
        )

    def _asked(self, request: Request, claims: LlmInference) -> Asked:
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
        return Asked(
            account,
            dialect,
            claims.model,
            request_to(account, dialect, claims.model, body),
            most_tokens(body, {}, limit),
            salts,
            salts.hash_input(request.body),
            claims.agent_id,
            facts,
            run,
            hashes_text=True,
        )

    def _run_inference(self, request: Request, asked: Asked) -> Answer:
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
            return self._replayed(request, replayed.receipt_ids)
        assert isinstance(answered, Answered)  # noqa: S101  no stream was asked for
        attempt = answered.attempt
        seen, settled = conclude(asked, answered, worker)
        if seen.outcome != Outcome.COMPLETED:
            details = {
                "provider_status": [str(seen.http_status)],
                "provider_message": [seen.error_message or ""],
            }
            message = f"The provider answered {_told(seen)}."
            raise failed(Code.PROVIDER_ERROR, message, attempt, details)
        assert isinstance(answered.told, Told)  # noqa: S101  else it was malformed
        return Answer(_shown(asked, attempt, seen, settled, answered.told.text))

    def _replayed(self, request: Request, receipt_ids: list[UUID]) -> Answer:
        """Answer a repeat from the receipt: the text itself is kept nowhere."""
        principal: Principal = request.auth  # type: ignore[assignment]
        # In this order: an attempt turns into a receipt, and never back.
        if AttemptRow.objects.filter(pk__in=receipt_ids).exists():
            message = "The call with this Idempotency-Key is still under way."
            raise ApiError(Code.CONFLICT, message)
        receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
        made = receipts.filter(pk__in=receipt_ids).order_by("leaf_index").last()
        if made is None:
            message = "The call with this Idempotency-Key was not made; use another."
            raise ApiError(Code.PROVIDER_ERROR, message)
        shown = made.as_json()
        if shown["outcome"] != Outcome.COMPLETED:
            raise ApiError(
                Code.PROVIDER_ERROR,
                "The call with this Idempotency-Key failed; another call needs another"
                " key.",
                extra={"receipt_id": str(made.pk)},
            )
        row = ContentSalts.objects.filter(pk=made.pk).first()
        answer = Answer(_told_of(shown, Salts.of(row) if row else None, None))
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


def _told(seen: Seen) -> str:
    """Say in a few words what a provider answered that is no answer."""
    status = seen.http_status
    if seen.error_code == MALFORMED:
        return "what is no JSON object"
    if status is None or status == HTTPStatus.OK:
        return "with an error"
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


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
        **_salts_json(asked.salts),
    }


def _told_of(
    receipt: dict[str, Any], salts: Salts | None, text: str | None
) -> dict[str, Any]:
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
        **_salts_json(salts),
    }


def _salts_json(salts: Salts | None) -> dict[str, str | None]:
    """Return the salts; null once they are erased."""
    return {
        "input_salt": salts.input.hex() if salts else None,
        "output_salt": salts.output.hex() if salts else None,
    }


class InferenceSalts(OrchestrationsView):
    """For a caller who has the text, and has lost what came with it."""

    scopes = {"GET": "orchestrations:read"}

    @describe(
        "The salts of an inference's hashes, until they are erased",
        answer=examples.SALTS,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = inference_receipt(request, name)
        row = ContentSalts.objects.filter(pk=receipt.pk).first()
        if row is None:
            raise not_found("salts of this inference")
        salts = _salts_json(Salts.of(row))
        return Answer({"success": True, "receipt_id": str(row.pk), **salts})
