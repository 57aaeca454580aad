"""The providers' own endpoints, relayed with a receipt (WIRE section 4)."""

from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.request import Request

from lucid.api.openapi import describe
from lucid.api.parsing import read_bytes
from orchestrations.gateway import examples
from orchestrations.gateway.asking import (
    Attachment,
    forwarded,
    read_members,
    request_to,
)
from orchestrations.gateway.attempts import Attempt
from orchestrations.gateway.calls import (
    Answered,
    Asked,
    Streaming,
    Unanswered,
    conclude,
    make_call,
)
from orchestrations.gateway.dialects import (
    ANTHROPIC_MESSAGES,
    OPENAI_CHAT,
    StreamingDialect,
)
from orchestrations.gateway.relaying import RelayedStream
from orchestrations.gateway.reserving import most_tokens
from orchestrations.gateway.salts import Salts
from orchestrations.gateway.settling import Settled
from orchestrations.gateway.upstream import Exchange
from orchestrations.gateway.view import ERRORS, GatewayView
from orchestrations.gateway.worker import this_worker

# Of a provider's answer, what the caller gets besides its body. Never cookies.
RELAYED = ("content-type", "retry-after", "retry-after-ms", "request-id")
RELAYED_PREFIXES = ("x-ratelimit-", "anthropic-", "openai-")


class DropIn(GatewayView):
    """A provider's own endpoint: its bytes are relayed unchanged, both ways."""

    dialect: StreamingDialect
    able: frozenset[str]

    def relay(self, request: Request) -> HttpResponseBase:
        raw = read_bytes(request._request, settings.LUCID_GATEWAY_MAX_REQUEST)
        body = read_members(raw)
        attached = Attachment.of(request._request)
        return self.with_current_accounts(
            lambda: self._relayed(request, self._asked(request, raw, body, attached))
        )

    def _relayed(self, request: Request, asked: Asked) -> HttpResponseBase:
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
            salts.hash_input(raw),
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
