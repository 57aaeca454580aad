"""The orchestrations API (WIRE section 3)."""

import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import psycopg
from django.db import DataError, IntegrityError
from django.db.models import ExpressionWrapper, F
from django.utils import timezone
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid, not_found, unavailable
from lucid.api.openapi import describe, shape_of_body
from lucid.api.pagination import (
    DEFAULT_LIMIT,
    Limit,
    Page,
    cut,
    decode_cursor,
    encode_cursor,
)
from lucid.api.parsing import check, check_query
from lucid.api.rendering import Answer, encode
from orchestrations import examples
from orchestrations.books import (
    Call,
    End,
    OrchestrationBooks,
    Perform,
    Record,
    Scope,
    Start,
    Work,
)
from orchestrations.budgets import month_limit
from orchestrations.claims import (
    ID_PREFIX,
    Cancel,
    Complete,
    Fail,
    NewInference,
    NewStep,
    StartOrchestration,
    StatusName,
    in_snake_case,
)
from orchestrations.counting import inclusion
from orchestrations.models import Inference, Orchestration, Step
from orchestrations.money import CentsField, parse_cents, to_nanocents
from orchestrations.presenting import started, step_json, summary, whole
from orchestrations.recording import (
    Facts,
    call_of,
    facts_of,
    inference_json,
)
from orchestrations.settling import end, is_due, settle
from orchestrations.ulid import ALPHABET, LENGTH, new_ulid
from receipts.keyring import Keyring
from receipts.ledger import Conflict, LedgerUnavailable, Logged, Submission
from receipts.ledger_view import LedgerView
from receipts.models import Receipt
from tenants.authentication import Principal

Status = Orchestration.Status

MAX_BATCH = 1000
BATCH_SHAPE = {
    "type": "object",
    "required": ["inferences"],
    "properties": {
        "inferences": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH,
            "items": shape_of_body(NewInference),
        }
    },
}
WRITE_ERRORS = [
    Code.INVALID_REQUEST,
    Code.IDEMPOTENCY_CONFLICT,
    Code.PAYLOAD_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
]
RECORD_ERRORS = [*WRITE_ERRORS, Code.NOT_FOUND, Code.NOT_RUNNING, Code.BUDGET_EXCEEDED]
END_ERRORS = [*WRITE_ERRORS, Code.NOT_FOUND, Code.CONFLICT]
# What the engines and their drivers say of a sum beyond 64 bits.
TOO_LARGE = (
    DataError,
    IntegrityError,
    OverflowError,
    psycopg.DataError,
    psycopg.errors.CheckViolation,
    struct.error,
)
STEPS_EXCEEDED = {
    "error": {
        "code": "MAX_STEPS_EXCEEDED",
        "message": "A step was reported beyond max_steps.",
    }
}

RunCursor = Annotated[str, msgspec.Meta(pattern=rf"\A[{ALPHABET}]{{{LENGTH}}}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]


class OrchestrationsView(LedgerView):
    """What the views of this app do with the ledger."""

    def run(self, request: Request, name: str) -> Orchestration:
        """Return the caller's orchestration, ended if its time is over."""
        found = self._find(request, name)
        if is_due(found, timezone.now()):
            try:
                settle([found])
            except LedgerUnavailable:
                raise unavailable() from None
            found = self._find(request, name)
        return found

    @staticmethod
    def _find(request: Request, name: str) -> Orchestration:
        principal: Principal = request.auth  # type: ignore[assignment]
        runs = Orchestration.objects.filter(
            pk=name, tenant_id=principal.tenant_id, mode=principal.mode
        )
        found = runs.first()
        if found is None:
            raise not_found("orchestration")
        return found

    @staticmethod
    def facts(request: Request, name: str) -> Facts:
        principal: Principal = request.auth  # type: ignore[assignment]
        facts = facts_of(name, principal.tenant_id, principal.mode)
        if facts is None:
            raise not_found("orchestration")
        return facts

    def work(
        self,
        request: Request,
        compose: Callable[[Scope, Keyring, Principal], Work],
        render: Callable[[Any], tuple[int, Any]],
    ) -> Answer:
        """Have the books keep what `compose` makes, and answer with `render` of it.

        `render` turns the results of the work into a status and a JSON value.
        """

        def submission(keyring: Keyring, principal: Principal) -> Submission:
            limit = month_limit(principal.tenant_id, principal.mode, keyring.version)
            scope = Scope(principal.tenant_id, principal.mode, limit)
            work = compose(scope, keyring, principal)
            calls = work.calls if isinstance(work, Record) else []
            entries = [call.entry for call in calls]
            return Submission(keyring, entries, books=OrchestrationBooks, work=work)

        def encoded(results: list[Any]) -> tuple[int, bytes]:
            status, body = render(results)
            return status, encode(body)

        try:
            return self.submit(request, submission, encoded)
        except TOO_LARGE as error:
            message = "The sums that this adds to would no longer be exact."
            raise invalid({"body": [message]}) from error

    def rendered_error(self, error: ApiError) -> tuple[int, dict[str, Any]]:
        return error.status, error.body(self.request_id)


def conflict(result: Conflict) -> ApiError:
    message = "This inference_id has a receipt with other content."
    return ApiError(Code.RUN_ID_CONFLICT, message, details={"inference_id": [message]})


class OrchestrationFilter(
    msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}
):
    """The query of GET /v1/orchestrations; `from` and `to` bound the start."""

    limit: Limit = DEFAULT_LIMIT
    cursor: RunCursor | None = None
    status: StatusName | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    since: Time | None = None
    until: Time | None = None
    min_cost_cents: str | None = None

    def conditions(self) -> dict[str, Any]:
        given = {
            "id__lt": self.cursor and ID_PREFIX + self.cursor,
            "status": self.status,
            "agent_id": self.agent_id,
            "workflow_id": self.workflow_id,
            "started_at__gte": self.since,
            "started_at__lte": self.until,
            "total__gte": self._min_cost(),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _min_cost(self) -> Decimal | None:
        if self.min_cost_cents is None:
            return None
        try:
            return parse_cents(self.min_cost_cents)
        except ValueError as error:
            raise invalid({"min_cost_cents": [str(error)]}) from None


class OrchestrationList(OrchestrationsView):
    scopes = {"GET": "orchestrations:read", "POST": "orchestrations:write"}

    @describe(
        "Start an orchestration",
        body=StartOrchestration,
        answer=examples.ORCHESTRATION,
        errors=WRITE_ERRORS,
        idempotent=True,
        status=201,
    )
    def post(self, request: Request) -> Answer:
        claims = check(
            in_snake_case(self.json(request, literal=True)), StartOrchestration
        )
        claims.check()
        name = f"{ID_PREFIX}{new_ulid()}"
        now = timezone.now()

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            budget = claims.budget_cents
            row = {
                "id": name,
                "tenant_id": scope.tenant_id,
                "mode": scope.mode,
                "api_key_id": principal.api_key_id,
                "agent_id": claims.agent_id,
                "workflow_id": claims.workflow_id or "",
                "name": claims.name or "",
                "model": claims.model or "",
                "request": claims.request(),
                "max_steps": claims.max_steps,
                "timeout_seconds": claims.timeout_seconds,
                "budget": None if budget is None else to_nanocents(budget),
                "started_at": now,
                "expires_at": now + timedelta(seconds=claims.timeout_seconds),
            }
            return Start(scope, row)

        def render(results: list[dict[str, Any]]) -> tuple[int, Any]:
            run = started(results[0])
            fresh: dict[str, Any] = {"steps": [], "output": None, "sequence": None}
            fresh["adjusted_cost_cents"] = 0
            request = {
                n: run.request.get(n) for n in ("input", "parameters", "metadata")
            }
            agents = {"agents": run.request.get("agents", [])}
            return 201, {"success": True, **summary(run), **agents, **request, **fresh}

        return self.work(request, compose, render)

    @describe(
        "List orchestrations, newest first",
        query=OrchestrationFilter,
        answer=examples.ORCHESTRATIONS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, OrchestrationFilter)
        principal: Principal = request.auth  # type: ignore[assignment]
        runs = Orchestration.objects.filter(
            tenant_id=principal.tenant_id, mode=principal.mode
        )
        self._settle_due(runs)
        total = ExpressionWrapper(F("cost") + F("step_cost"), CentsField())
        wanted = runs.annotate(total=total).filter(**query.conditions())
        if query.status == Status.RUNNING.value:
            # Those that could not all be settled at once have ended all the same.
            wanted = wanted.filter(expires_at__gt=timezone.now())
        page, more = cut(wanted.order_by("-id"), query.limit)
        return Answer(
            {
                "success": True,
                "orchestrations": [summary(run) for run in page],
                "next_cursor": page[-1].pk.removeprefix(ID_PREFIX) if more else None,
            }
        )

    @staticmethod
    def _settle_due(runs: Any) -> None:
        due = runs.filter(status=Status.RUNNING, expires_at__lte=timezone.now())
        try:
            settle(due.order_by("expires_at")[:100])
        except LedgerUnavailable:
            raise unavailable() from None


class OrchestrationExecute(OrchestrationList):
    """Another path to start one."""

    http_method_names = ["post"]


class OrchestrationDetail(OrchestrationsView):
    scopes = {"GET": "orchestrations:read"}

    @describe(
        "One orchestration with its steps",
        answer=examples.ORCHESTRATION,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        return Answer({"success": True, **whole(self.run(request, name))})


class InferenceList(OrchestrationsView):
    scopes = {"GET": "orchestrations:read", "POST": "orchestrations:write"}

    @describe(
        "Record an LLM call and get its receipt",
        body=NewInference,
        answer=examples.INFERENCE,
        errors=[*RECORD_ERRORS, Code.RUN_ID_CONFLICT],
        idempotent=True,
        status=201,
    )
    def post(self, request: Request, name: str) -> Answer:
        claims = check(self.json(request, literal=True), NewInference)
        claims.check()
        facts = self.facts(request, name)

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            return Record(scope, name, [call_of(claims, facts, keyring, principal)])

        def render(results: list[Any]) -> tuple[int, Any]:
            return self.rendered(results[0])

        answer = self.work(request, compose, render)
        if answer.status_code == 409:
            self.run(request, name)  # settles it, if its time is over
        return answer

    def rendered(self, result: Logged | Conflict | ApiError) -> tuple[int, Any]:
        if isinstance(result, Conflict):
            result = conflict(result)
        if isinstance(result, ApiError):
            return self.rendered_error(result)
        inference = inference_json(result.members, result.receipt_id)
        return 200 if result.replayed else 201, {"success": True, **inference}

    @describe(
        "List the inferences of an orchestration, newest first",
        query=Page,
        answer=examples.INFERENCES,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        query = check_query(request.query_params, Page)
        run = self.run(request, name)
        rows = Inference.objects.filter(tenant_id=run.tenant_id, orchestration_id=name)
        if query.cursor is not None:
            rows = rows.filter(leaf_index__lt=decode_cursor(query.cursor))
        places = rows.order_by("-leaf_index").values_list("receipt_id", "leaf_index")
        page, more = cut(places, query.limit)
        receipts = Receipt.objects.only("entry").in_bulk([pk for pk, _ in page])
        return Answer(
            {
                "success": True,
                "inferences": [
                    inference_json(msgspec.json.decode(bytes(receipts[pk].entry)), pk)
                    for pk, _ in page
                ],
                "next_cursor": encode_cursor(page[-1][1]) if more else None,
            }
        )


class InferenceBatch(InferenceList):
    http_method_names = ["post"]

    @describe(
        "Record many LLM calls; a bad one does not fail the others",
        body=BATCH_SHAPE,
        answer=examples.RESULTS,
        errors=[*WRITE_ERRORS, Code.NOT_FOUND],
        idempotent=True,
    )
    def post(self, request: Request, name: str) -> Answer:
        checked = [
            _checked(item) for item in _members(self.json(request, literal=True))
        ]
        facts = self.facts(request, name)

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            calls: list[Call] = []
            for place, item in enumerate(checked):
                if isinstance(item, ApiError):
                    continue
                try:
                    calls.append(call_of(item, facts, keyring, principal))
                except ApiError as error:
                    checked[place] = error
            return Record(scope, name, calls)

        def render(results: list[Any]) -> tuple[int, Any]:
            remaining = iter(results)
            answers = [
                self._result(item if isinstance(item, ApiError) else next(remaining))
                for item in checked
            ]
            return 200, {"success": True, "results": answers}

        answer = self.work(request, compose, render)
        self.run(request, name)  # settles it, if its time is over
        return answer

    def _result(self, result: Logged | Conflict | ApiError) -> dict[str, Any]:
        status, body = self.rendered(result)
        if status >= 400:
            return {"status": status, "error": body}
        del body["success"]
        return {"status": status, "inference": body}


def _checked(member: Any) -> NewInference | ApiError:
    try:
        claims = check(member, NewInference)
        claims.check()
    except ApiError as error:
        return error
    return claims


def _members(data: Any) -> list[Any]:
    members = data.get("inferences") if isinstance(data, dict) else None
    if not isinstance(members, list) or not 1 <= len(members) <= MAX_BATCH:
        raise invalid(
            {"inferences": [f"Expected an array of 1 to {MAX_BATCH} inferences."]}
        )
    return members


class StepList(OrchestrationsView):
    scopes = {"POST": "orchestrations:write"}

    @describe(
        "Record a step: a tool call, a decision, a guardrail check",
        body=NewStep,
        answer=examples.STEP,
        errors=RECORD_ERRORS,
        idempotent=True,
        status=201,
    )
    def post(self, request: Request, name: str) -> Answer:
        claims = check(self.json(request, literal=True), NewStep)
        claims.check()
        self.facts(request, name)
        step = claims.row()

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            return Perform(scope, name, step)

        def render(results: list[Any]) -> tuple[int, Any]:
            (result,) = results
            if isinstance(result, ApiError):
                return self.rendered_error(result)
            return 201, {
                "success": True,
                "orchestration_id": name,
                **step_json(Step(**_amounts(result))),
            }

        answer = self.work(request, compose, render)
        if answer.status_code == 409:
            self._fail_if_over(self.run(request, name))
        return answer

    @staticmethod
    def _fail_if_over(run: Orchestration) -> None:
        if run.status == Status.RUNNING and run.step_count >= run.max_steps:
            try:
                end(run, Status.FAILED, STEPS_EXCEEDED, due=False)
            except LedgerUnavailable:
                raise unavailable() from None


def _amounts(row: dict[str, Any]) -> dict[str, Any]:
    cost = row["cost"]
    return row | {"cost": None if cost is None else Decimal(cost).scaleb(-9)}


class Ending(OrchestrationsView):
    """Ends an orchestration and issues its receipt, in one transaction."""

    scopes = {"POST": "orchestrations:write"}
    status: Status
    shape: type[Complete | Fail | Cancel]

    def finish(self, request: Request, name: str) -> Answer:
        claims = check(self._body(request), self.shape)
        claims.check()
        ending = claims.ending()
        self.run(request, name)  # if its time is over, that is how it ended

        def compose(scope: Scope, keyring: Keyring, principal: Principal) -> Work:
            return End(scope, name, self.status.value, ending)

        def render(results: list[Any]) -> tuple[int, Any]:
            (result,) = results
            if isinstance(result, ApiError):
                return self.rendered_error(result)
            run = started(result)
            return 200, {
                "success": True,
                **summary(run),
                "output": ending.get("output"),
            }

        return self.work(request, compose, render)

    def _body(self, request: Request) -> Any:
        # Completing and cancelling have nothing that must be said.
        is_empty = not request._request.META.get("CONTENT_LENGTH", "").strip("0 ")
        chunked = "HTTP_TRANSFER_ENCODING" in request._request.META
        if is_empty and not chunked and self.shape is not Fail:
            return {}
        return self.json(request, literal=True)


class OrchestrationComplete(Ending):
    status = Status.COMPLETED
    shape = Complete

    @describe(
        "Complete an orchestration",
        body=Complete,
        answer=examples.ENDED,
        errors=END_ERRORS,
        idempotent=True,
    )
    def post(self, request: Request, name: str) -> Answer:
        return self.finish(request, name)


class OrchestrationFail(Ending):
    status = Status.FAILED
    shape = Fail

    @describe(
        "End an orchestration as failed",
        body=Fail,
        answer=examples.ENDED,
        errors=END_ERRORS,
        idempotent=True,
    )
    def post(self, request: Request, name: str) -> Answer:
        return self.finish(request, name)


class OrchestrationCancel(Ending):
    status = Status.CANCELLED
    shape = Cancel

    @describe(
        "Cancel an orchestration",
        body=Cancel,
        answer=examples.ENDED,
        errors=END_ERRORS,
        idempotent=True,
    )
    def post(self, request: Request, name: str) -> Answer:
        return self.finish(request, name)


class OrchestrationReceipts(OrchestrationsView):
    scopes = {"GET": "orchestrations:read"}

    @describe(
        "The receipts of an orchestration, in the order of the log",
        query=Page,
        answer=examples.RUN_RECEIPTS,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        query = check_query(request.query_params, Page)
        run = self.run(request, name)
        receipts = Receipt.objects.of_log(run.tenant_id, run.mode)
        rows = receipts.filter(orchestration_id=name, receipt_type="inference")
        after = -1 if query.cursor is None else decode_cursor(query.cursor)
        later = rows.filter(leaf_index__gt=after).order_by("leaf_index")
        page, more = cut(later.only("entry", "leaf_index"), query.limit)
        final = run.receipt_id and receipts.filter(pk=run.receipt_id).first()
        return Answer(
            {
                "success": True,
                "orchestration_id": name,
                "inferences": summary(run)["inferences"],
                "receipts": [receipt.as_json() for receipt in page],
                "final_receipt": final.as_json() if final else None,
                "next_cursor": encode_cursor(page[-1].leaf_index) if more else None,
            }
        )


class InferenceDetail(OrchestrationsView):
    scopes = {"GET": "orchestrations:read"}

    @describe(
        "One inference with its receipt, by inference_id or receipt_id",
        answer=examples.ONE_INFERENCE,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = _inference(request, name)
        shown = receipt.as_json()
        return Answer(
            {"success": True, **inference_json(shown, receipt.pk), "receipt": shown}
        )


class InferenceProof(OrchestrationsView):
    """That a call was counted by its orchestration: a path to `inferences.root`."""

    scopes = {"GET": "orchestrations:read"}

    @describe(
        "Prove that an inference was counted by its orchestration",
        answer=examples.COUNTED,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = _inference(request, name)
        if not receipt.orchestration_id:
            raise not_found("orchestration of this inference")
        run = self.run(request, receipt.orchestration_id)
        counted = Receipt.objects.of_log(run.tenant_id, run.mode).filter(
            orchestration_id=run.pk, receipt_type="inference"
        )
        hashes = counted.order_by("leaf_index").values_list("receipt_hash", flat=True)
        proof = inclusion([bytes(h) for h in hashes], bytes(receipt.receipt_hash))
        return Answer(
            {
                "success": True,
                "proof": {
                    "orchestration_id": run.pk,
                    "receipt_hash": bytes(receipt.receipt_hash).hex(),
                    **proof,
                    "final_receipt_id": run.receipt_id and str(run.receipt_id),
                },
            }
        )


def _inference(request: Request, name: str) -> Receipt:
    principal: Principal = request.auth  # type: ignore[assignment]
    receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
    found = receipts.filter(receipt_type="inference").named(name)
    if found is None:
        raise not_found("inference")
    return found
