"""The receipts API (WIRE section 2)."""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from lucid.api.errors import ApiError, Code, invalid, not_found
from lucid.api.openapi import describe, shape_of_body
from lucid.api.pagination import cut, encode_cursor
from lucid.api.parsing import check, check_query
from lucid.api.rendering import Answer
from lucid.api.views import ApiView
from lucid.isolation import across_tenants, enter
from receipts import examples, merkle
from receipts.claims import NewReceipt
from receipts.entry import Entry, EntryTooLarge, make_entry
from receipts.key_publication import jwks
from receipts.keyring import Keyring, keyring_for, log_of
from receipts.ledger import Conflict, Logged, Result
from receipts.ledger_view import LedgerView
from receipts.merkle import MAX_SIZE
from receipts.models import Log, Receipt, with_extras
from receipts.reader import proof_json, read_with_keyring
from receipts.reading import note_verification
from receipts.receipt_filter import ReceiptFilter
from receipts.verdicts import Checked, check_receipt
from receipts.verifier import Verdict
from tenants.authentication import Principal
from tenants.models import Tenant
from tenants.scopes import HasScope

MAX_BATCH = 1000
BATCH_SHAPE = {
    "type": "object",
    "required": ["receipts"],
    "properties": {
        "receipts": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH,
            "items": shape_of_body(NewReceipt),
        }
    },
}
WRITE_ERRORS = [
    Code.INVALID_REQUEST,
    Code.RUN_ID_CONFLICT,
    Code.IDEMPOTENCY_CONFLICT,
    Code.PAYLOAD_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
]

Size = Annotated[int, Meta(ge=1, le=MAX_SIZE)]


def _entry(keyring: Keyring, claims: NewReceipt, run_id: str) -> Entry:
    try:
        return make_entry(
            keyring, "compute", run_id, claims.claimed_time(), claims.members()
        )
    except EntryTooLarge as error:
        complaint = f"The receipt is too large: {error}."
        raise invalid({"attestation": [complaint]}) from None


def _check_claims(data: Any) -> NewReceipt:
    claims = check(data, NewReceipt)
    claims.check()
    return claims


def _logged(result: Logged) -> dict[str, Any]:
    return with_extras(result.members, result.receipt_id, result.leaf_index)


def _conflict(result: Conflict) -> ApiError:
    message = "This run_id has a receipt with other content."
    return ApiError(Code.RUN_ID_CONFLICT, message, details={"run_id": [message]})


class ReceiptList(LedgerView):
    scopes = {"GET": "receipts:read", "POST": "receipts:write"}

    @describe(
        "Report a run and get its receipt",
        body=NewReceipt,
        answer=examples.ONE_RECEIPT,
        errors=WRITE_ERRORS,
        idempotent=True,
    )
    def post(self, request: Request) -> Answer:
        claims = _check_claims(self.json(request))
        run_id = claims.run_id_or_new()

        def prepare(keyring: Keyring) -> list[Entry]:
            return [_entry(keyring, claims, run_id)]

        def render(results: list[Result]) -> tuple[int, bytes]:
            (result,) = results
            if isinstance(result, Conflict):
                error = _conflict(result)
                return error.status, msgspec.json.encode(error.body(self.request_id))
            answer = {"success": True, "receipt": _logged(result)}
            return 200, msgspec.json.encode(answer)

        return self.append(request, prepare, render)

    @describe(
        "List receipts, newest first",
        query=ReceiptFilter,
        answer=examples.RECEIPTS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, ReceiptFilter)
        principal = _principal(request)
        rows = query.newest(principal.tenant_id, principal.mode)
        page, more = cut(rows.only("entry", "leaf_index"), query.limit)
        return Answer(
            {
                "success": True,
                "receipts": [receipt.as_json() for receipt in page],
                "next_cursor": encode_cursor(page[-1].leaf_index) if more else None,
            }
        )


class ReceiptDetail(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "One receipt, by run_id or receipt_id",
        answer=examples.ONE_RECEIPT,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        return Answer({"success": True, "receipt": _receipt(request, name).as_json()})


class ReceiptBatch(LedgerView):
    """POST makes many receipts; GET is of the receipt whose run_id is `batch`."""

    scopes = {"GET": "receipts:read", "POST": "receipts:write"}

    @describe(
        "The receipt whose run_id is `batch`",
        answer=examples.ONE_RECEIPT,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request) -> Answer:
        receipt = _receipt(request, "batch")
        return Answer({"success": True, "receipt": receipt.as_json()})

    @describe(
        "Report many runs; a bad one does not fail the others",
        body=BATCH_SHAPE,
        answer=examples.RESULTS,
        errors=WRITE_ERRORS,
        idempotent=True,
    )
    def post(self, request: Request) -> Answer:
        members = _batch_members(self.json(request))
        checked = [self._check(member) for member in members]

        def prepare(keyring: Keyring) -> list[Entry]:
            entries = []
            for place, item in enumerate(checked):
                if isinstance(item, ApiError):
                    continue
                claims, run_id = item
                try:
                    entries.append(_entry(keyring, claims, run_id))
                except ApiError as error:
                    checked[place] = error
            return entries

        def render(results: list[Result]) -> tuple[int, bytes]:
            remaining = iter(results)
            answers = [
                self._result(item if isinstance(item, ApiError) else next(remaining))
                for item in checked
            ]
            return 200, msgspec.json.encode({"success": True, "results": answers})

        return self.append(request, prepare, render)

    @staticmethod
    def _check(member: Any) -> tuple[NewReceipt, str] | ApiError:
        try:
            claims = _check_claims(member)
        except ApiError as error:
            return error
        return claims, claims.run_id_or_new()

    def _result(self, result: Result | ApiError) -> dict[str, Any]:
        if isinstance(result, Logged):
            return {"status": 200, "receipt": _logged(result)}
        error = _conflict(result) if isinstance(result, Conflict) else result
        return {"status": error.status, "error": error.body(self.request_id)}


def _batch_members(data: Any) -> list[Any]:
    members = data.get("receipts") if isinstance(data, dict) else None
    if not isinstance(members, list) or not 1 <= len(members) <= MAX_BATCH:
        raise invalid(
            {"receipts": [f"Expected an array of 1 to {MAX_BATCH} receipts."]}
        )
    return members


class ReceiptVerification(ApiView):
    scopes = {"GET": "receipts:read", "POST": "receipts:read"}

    @describe(
        "Check a receipt from its stored bytes up",
        answer=examples.VERIFICATION,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        receipt = _receipt(request, name)
        checked = check_receipt(receipt, receipt.log)
        note_verification(request, receipt, checked)
        return Answer(
            {
                "success": True,
                "valid": checked.verdict == Verdict.VALID,
                "hash_valid": checked.hash_valid,
                "signature_valid": checked.signature_valid,
                "inclusion_valid": checked.inclusion_valid,
                "expected_hash": checked.expected_hash,
                "computed_hash": checked.computed_hash,
                "merkle_root": bytes(receipt.log.root).hex(),
                "verdict": checked.verdict,
            }
        )

    post = get


class ProofQuery(msgspec.Struct, frozen=True):
    size: Size | None = None


class ReceiptProof(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "The inclusion proof of a receipt, to be verified offline",
        query=ProofQuery,
        answer=examples.PROOF,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
    )
    def get(self, request: Request, name: str) -> Answer:
        query = check_query(request.query_params, ProofQuery)
        receipt, keyring = _receipt_and_keyring(request, name)
        size = query.size or receipt.log.size
        if not receipt.leaf_index < size <= receipt.log.size:
            raise invalid(
                {
                    "size": [
                        f"Expected {receipt.leaf_index + 1} to {receipt.log.size}, the"
                        " sizes of this log that hold the receipt."
                    ]
                }
            )
        proof = proof_json(receipt, receipt.log, size, keyring)
        return Answer({"success": True, "proof": proof})


class HashVerification(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "Find and check the receipt with a hash",
        answer=examples.HASH_VERIFICATION,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
    )
    def get(self, request: Request, receipt_hash: str) -> Answer:
        if not re.fullmatch("[0-9A-Fa-f]{64}", receipt_hash):
            raise invalid({"receipt_hash": ["Expected 64 hexadecimal digits."]})
        principal = _principal(request)
        receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
        digest = bytes.fromhex(receipt_hash)
        receipt = receipts.select_related("log").filter(receipt_hash=digest).first()
        if receipt is None:
            error = not_found("receipt")
            error.extra = {"verified": False, "receipt_hash": receipt_hash.lower()}
            raise error
        checked = check_receipt(receipt, receipt.log)
        note_verification(request, receipt, checked)
        return Answer(self._verification(receipt, checked))

    @staticmethod
    def _verification(receipt: Receipt, checked: Checked) -> dict[str, Any]:
        return {
            "success": True,
            "verified": checked.verdict == Verdict.VALID,
            "verdict": checked.verdict,
            "receipt_hash": checked.expected_hash,
            "run_id": receipt.run_id,
            "hash_valid": checked.hash_valid,
            "signature_valid": checked.signature_valid,
            "signer_pubkey": checked.members.get("signer_pubkey"),
            "signer_type": checked.members.get("signer_type"),
            "inclusion_proof": _inclusion_proof(receipt, checked),
            "inclusion_valid": checked.inclusion_valid,
            "epoch": None,
        }


def _inclusion_proof(receipt: Receipt, checked: Checked) -> dict[str, Any]:
    index, log = receipt.leaf_index, receipt.log
    return {
        "leaf_index": index,
        "proof": [item.hex() for item in checked.proof],
        "root": bytes(log.root).hex(),
        "directions": merkle.directions(index, log.size) if checked.proof else [],
    }


class TreeHead(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe("The newest root of the log", answer=examples.TREE_HEAD)
    def get(self, request: Request) -> Answer:
        log = _log(request)
        root = bytes(log.root).hex()
        return Answer({"success": True, "root": root, "leaf_count": log.size})


class SignerPublicKey(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe("The key that signs receipts now", answer=examples.SIGNER)
    def get(self, request: Request) -> Answer:
        principal = _principal(request)
        keyring = keyring_for(principal.tenant_id, principal.mode)
        return Answer(
            {
                "success": True,
                "signer_type": "orchestrator",
                "pubkey": keyring.receipt_public_key,
                "pubkey_hex": keyring.receipt_signer.public_key.hex(),
                "kid": keyring.receipt_kid,
                "origin": keyring.origin,
                "vkey": keyring.vkey,
                "vkeys": keyring.vkeys,
            }
        )


class NamedTenantOrKey(HasScope):
    """Public keys of a named tenant are for anybody; one's own need no name."""

    def has_permission(self, request: Request, view: ApiView) -> bool:  # type: ignore[override]
        return "tenant" in request.query_params or super().has_permission(request, view)


class KeySetQuery(msgspec.Struct, frozen=True):
    """A tenant's slug; its keys are then public, and those of both modes."""

    tenant: str | None = None


class KeySetView(ApiView):
    """GET /v1/keys. A named tenant's keys are public: that is what they are for."""

    permission_classes: list[type[BasePermission]] = [NamedTenantOrKey]

    @describe(
        "All keys, old ones included, as a JWKS",
        query=KeySetQuery,
        answer=examples.KEYS,
        errors=[Code.NOT_FOUND],
    )
    def get(self, request: Request) -> Answer:
        slug = check_query(request.query_params, KeySetQuery).tenant
        if slug is None:
            principal = _principal(request)
            log_of(principal.tenant_id, principal.mode)
            return Answer(jwks(principal.tenant_id, principal.mode))
        with across_tenants():
            tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            raise not_found("tenant")
        enter(tenant.pk)
        return Answer(jwks(tenant.pk, None))


def _principal(request: Request) -> Principal:
    principal: Principal = request.auth  # type: ignore[assignment]  # by HasScope
    return principal


def _log(request: Request) -> Log:
    principal = _principal(request)
    return log_of(principal.tenant_id, principal.mode)


def _receipt(request: Request, name: str) -> Receipt:
    """Return the tenant's receipt of that receipt_id or run_id, with its log."""
    principal = _principal(request)
    receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
    # The tenant comes along for its keyring_version, which is that of the log's row.
    receipt = receipts.select_related("log__tenant").named(name)
    if receipt is None:
        raise not_found("receipt")
    return receipt


def _receipt_and_keyring(request: Request, name: str) -> tuple[Receipt, Keyring]:
    principal = _principal(request)
    return read_with_keyring(
        principal.tenant_id, principal.mode, lambda: _receipt(request, name)
    )
