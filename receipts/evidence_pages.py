"""Evidence of a receipt, for a person who takes it away."""

from uuid import UUID

from django.http import Http404, HttpResponse

from receipts.evidence import download
from receipts.models import Receipt
from tenants import events
from tenants.page_access import PageRequest, member
from tenants.roles import Right


@member(can=Right.EXPORT)
def receipt_evidence(request: PageRequest, receipt_id: UUID) -> HttpResponse:
    tenant, mode = request.member.tenant, request.member.mode
    receipts = Receipt.objects.of_log(tenant.pk, mode).select_related("log", "tenant")
    receipt = receipts.filter(pk=receipt_id).first()
    if receipt is None:
        raise Http404
    return download(receipt, events.person(request))
