"""What operators are told of a tenant's calls, and of what they cost."""

from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from orchestrations.models import MonthSpend, UsageDay
from tenants.models import Mode
from tenants.usage import tells_usage


@tells_usage("Calls this month")
def calls(tenant_ids: Collection[UUID]) -> dict[UUID, str]:
    days = UsageDay.objects.filter(
        tenant__in=tenant_ids, mode=Mode.LIVE, day__gte=this_month()
    )
    sums = days.values_list("tenant").annotate(Sum("calls"))
    return {tenant_id: f"{count:,}" for tenant_id, count in sums}


@tells_usage("Cost this month")
def cost(tenant_ids: Collection[UUID]) -> dict[UUID, str]:
    months = MonthSpend.objects.filter(
        tenant__in=tenant_ids, mode=Mode.LIVE, month=this_month()
    )
    return {row.tenant_id: _dollars(row.spent) for row in months}


def this_month() -> date:
    return datetime.now(UTC).date().replace(day=1)


def _dollars(cents: Decimal) -> str:
    dollars = cents / 100
    return f"${dollars:,.2f}" if dollars >= 1 or not dollars else f"${dollars:.6f}"
