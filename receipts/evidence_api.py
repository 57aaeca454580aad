"""Evidence of a receipt over the API (WIRE section 2)."""

from typing import Literal

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from lucid.api.errors import Code, not_found, unavailable
from lucid.api.openapi import describe
from lucid.api.parsing import check_query
from lucid.api.views import ApiView
from receipts import examples
from receipts.evidence import download
from receipts.ledger import LedgerUnavailable
from receipts.models import Receipt
from receipts.reader import LogReader
from receipts.tlog_proof import TlogProof
from tenants.authentication import Principal, acting


class EvidenceQuery(msgspec.Struct, frozen=True):
    """`bundle` is a zip: the entry, its proof, the keys, and the verifier."""

    format: Literal["tlog-proof", "bundle"] = "tlog-proof"


class ReceiptEvidence(ApiView):
    scopes = {"GET": "receipts:read"}

    @describe(
        "Evidence that verifies offline: a C2SP tlog-proof, or a zip with everything",
        query=EvidenceQuery,
        answer=examples.TLOG_PROOF,
        errors=[Code.INVALID_REQUEST, Code.NOT_FOUND],
        media_type="text/plain",
        others={"application/zip": examples.BUNDLE},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        query = check_query(request.query_params, EvidenceQuery)
        principal: Principal = request.auth  # type: ignore[assignment]  # by HasScope
        receipts = Receipt.objects.of_log(principal.tenant_id, principal.mode)
        receipt = receipts.select_related("log", "tenant").named(name)
        if receipt is None:
            raise not_found("receipt")
        if query.format == "tlog-proof":
            return _tlog_proof(receipt)
        try:
            return download(receipt, acting(request))
        except LedgerUnavailable:
            raise unavailable() from None


def _tlog_proof(receipt: Receipt) -> HttpResponse:
    index, log = receipt.leaf_index, receipt.log
    hashes = LogReader(log).inclusion_proof(index, log.size)
    text = TlogProof(index, tuple(hashes), log.checkpoint).text()
    answer = HttpResponse(text, content_type="text/plain; charset=utf-8")
    name = f"{index}.tlog-proof"
    answer["Content-Disposition"] = f'inline; filename="{name}"'
    return answer
