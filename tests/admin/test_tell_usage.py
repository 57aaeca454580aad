"""What a tenant uses is in the list of tenants and on its page."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrations.models import MonthSpend, UsageDay
from tests.conftest import new_tenant

TENANTS = "/admin/tenants/tenant/"
TODAY = datetime.now(UTC).date()
FIRST = TODAY.replace(day=1)


def count(tenant, day, calls, mode="live"):
    UsageDay.objects.create(
        tenant=tenant,
        mode=mode,
        day=day,
        model="m",
        provider="custom",
        agent_id="a",
        workflow_id="",
        api_key_id=uuid.uuid4(),
        calls=calls,
    )


@pytest.fixture
def busy(alice):
    tenant = alice.tenant
    alice.record()
    alice.record()
    count(tenant, FIRST, 1_000)
    count(tenant, TODAY, 234)
    count(tenant, FIRST - timedelta(days=1), 7)
    count(tenant, TODAY, 50, mode="test")
    MonthSpend.objects.create(tenant=tenant, mode="live", month=FIRST, spent="1234567")
    return tenant


USED = "Calls this month: 1,234; Cost this month: $12,345.67; Receipts: 2"


def test_it_is_in_the_list(operator, busy):
    assert USED in operator.get(TENANTS, {"q": busy.slug}).content.decode()


def test_it_is_on_the_tenants_page(operator, busy):
    assert USED in operator.get(f"{TENANTS}{busy.pk}/change/").content.decode()


def test_a_tenant_without_any_has_none(operator, acme):
    page = operator.get(f"{TENANTS}{acme.pk}/change/").content.decode()
    assert '<div class="readonly">none</div>' in page


def test_small_amounts_are_not_rounded_away(operator, acme):
    MonthSpend.objects.create(tenant=acme, mode="live", month=FIRST, spent="0.0012")
    page = operator.get(TENANTS, {"q": acme.slug}).content.decode()
    assert "Cost this month: $0.000012" in page


def test_many_tenants_take_no_more_queries_than_one(operator, acme):
    def queries(term):
        with CaptureQueriesContext(connection) as captured:
            operator.get(TENANTS, {"q": term})
        return len(captured)

    name = f"crowd-{uuid.uuid4().hex[:6]}"
    for _ in range(5):
        new_tenant(name)
    assert queries(name) == queries(acme.slug)
