"""LLM calls, as the API takes and shows them (WIRE section 3)."""

from typing import Any

import msgspec
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid, not_found
from lucid.api.openapi import describe, shape_of_body
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
    NewInference,
)
from orchestrations.counting import inclusion
from orchestrations.models import Inference
from orchestrations.recording import (
    call_of,
    inference_json,
)
from orchestrations.views import RECORD_ERRORS, WRITE_ERRORS, OrchestrationsView
from orchestrations.work import Call, Record, Scope, Work
from receipts.keyring import Keyring
from receipts.ledger import Conflict, Logged
from receipts.models import Receipt
from tenants.authentication import Principal

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


def conflict(result: Conflict) -> ApiError:
    message = "This inference_id has a receipt with other content."
    return ApiError(Code.RUN_ID_CONFLICT, message, details={"inference_id": [message]})


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
            return Record(
                scope, name, [call_of(claims, facts, keyring, principal.api_key_id)]
            )

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
                    calls.append(call_of(item, facts, keyring, principal.api_key_id))
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
        if Code.NOT_RUNNING.encode() in answer.content:
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


class InferenceDetail(OrchestrationsView):
    scopes = {"GET": "orchestrations:read"}

    @describe(
        "One inference with its receipt, by inference_id or receipt_id",
        answer=examples.ONE_INFERENCE,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = inference_receipt(request, name)
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
        receipt = inference_receipt(request, name)
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


def inference_receipt(request: Request, name: str) -> Receipt:
    """Return a call's receipt, by inference_id or receipt_id; raises the 404."""
    principal: Principal = request.auth  # type: ignore[assignment]
    receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
    found = receipts.filter(receipt_type="inference").named(name)
    if found is None:
        raise not_found("inference")
    return found
