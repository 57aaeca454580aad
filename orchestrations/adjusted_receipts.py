"""Which receipts price a call anew, for the page of the call's own receipt."""

from uuid import UUID

from orchestrations.models import Adjustment
from receipts.adjustments import tells_adjustments
from receipts.models import Receipt

MOST = 20  # a call is priced anew a few times, if ever


@tells_adjustments
def adjustments(receipt: Receipt) -> list[UUID]:
    rows = Adjustment.objects.filter(
        tenant_id=receipt.tenant_id, inference_id=receipt.pk
    )
    return list(rows.order_by("-recorded_at").values_list("pk", flat=True)[:MOST])
