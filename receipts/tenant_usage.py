"""What operators are told of a tenant's receipts."""

from collections.abc import Collection
from uuid import UUID

from receipts.models import Log
from tenants.models import Mode
from tenants.usage import tells_usage


@tells_usage("Receipts")
def receipts(tenant_ids: Collection[UUID]) -> dict[UUID, str]:
    logs = Log.objects.filter(tenant__in=tenant_ids, mode=Mode.LIVE)
    return {log.tenant_id: f"{log.size:,}" for log in logs}
