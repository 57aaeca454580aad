"""`python -m bench.large_tenant_names SLUG` prints what addresses have in them."""

import json
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import django


def names(slug: str) -> dict[str, str]:
    from lucid.api.pagination import encode_cursor, encode_id_cursor, encode_place
    from orchestrations.claims import ID_PREFIX
    from orchestrations.models import Inference, Orchestration
    from receipts.list_columns import COLUMNS
    from receipts.models import Receipt
    from tenants.models import AccessEvent, Tenant

    tenant = Tenant.objects.get(slug=slug)
    receipts = Receipt.objects.of_log(tenant.pk, "live")
    runs = Orchestration.objects.filter(tenant=tenant, mode="live").order_by("id")
    calls = Inference.objects.filter(tenant=tenant, mode="live").order_by("recorded_at")
    events = AccessEvent.objects.filter(tenant=tenant).order_by("id")
    far = 1000  # from the end: there is more than a page
    far_call, far_run = calls[far], runs[far]
    today = datetime.now(UTC).date()
    return {
        "first_receipt": str(receipts.get(leaf_index=0).pk),
        "receipt": str(receipts.order_by("-leaf_index")[0].pk),
        "far_receipt": encode_cursor(far),
        "far_run_id": far_run.pk,
        "far_run": far_run.pk.removeprefix(ID_PREFIX),
        "far_call": encode_place(far_call.recorded_at, far_call.pk),
        "far_event": encode_id_cursor(events[far].pk),
        "every_column": urlencode([("columns", column.name) for column in COLUMNS]),
        "day": f"{today}",
        "year_ago": f"{today - timedelta(days=364)}",
    }


if __name__ == "__main__":
    django.setup()
    from lucid.isolation import across_tenants

    with across_tenants():
        print(json.dumps(names(sys.argv[1])))
