"""Orchestrations and their steps (WIRE section 3)."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, unavailable
from lucid.api.openapi import describe
from lucid.api.pagination import (
    Page,
    cut,
    decode_cursor,
    encode_cursor,
)
from lucid.api.parsing import check, check_query
from lucid.api.rendering import Answer
from orchestrations import examples
from orchestrations.claims import (
    ID_PREFIX,
    Cancel,
    Complete,
    Fail,
    NewStep,
    StartOrchestration,
    in_snake_case,
)
from orchestrations.models import Orchestration, Step
from orchestrations.money import to_nanocents
from orchestrations.presenting import started, step_json, summary, whole
from orchestrations.run_filter import RunFilter, cursor_of
from orchestrations.settling import end, settle_due
from orchestrations.ulid import new_ulid
from orchestrations.views import RECORD_ERRORS, WRITE_ERRORS, OrchestrationsView
from orchestrations.work import End, Perform, Scope, Start, Work
from receipts.keyring import Keyring
from receipts.ledger import LedgerUnavailable
from receipts.models import Receipt
from tenants.authentication import Principal

Status = Orchestration.Status

END_ERRORS = [*WRITE_ERRORS, Code.NOT_FOUND, Code.CONFLICT]
STEPS_EXCEEDED = {
    "error": {
        "code": "MAX_STEPS_EXCEEDED",
        "message": "A step was reported beyond max_steps.",
    }
}


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
        query=RunFilter,
        answer=examples.ORCHESTRATIONS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, RunFilter)
        principal: Principal = request.auth  # type: ignore[assignment]
        try:
            settle_due(principal.tenant_id, principal.mode)
        except LedgerUnavailable:
            raise unavailable() from None
        runs = query.newest(principal.tenant_id, principal.mode)
        page, more = cut(runs, query.limit)
        return Answer(
            {
                "success": True,
                "orchestrations": [summary(run) for run in page],
                "next_cursor": cursor_of(page[-1].pk) if more else None,
            }
        )


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
