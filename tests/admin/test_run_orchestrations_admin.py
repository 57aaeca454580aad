import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrations.models import (
    Adjustment,
    Budget,
    Inference,
    MonthSpend,
    Orchestration,
    Price,
    Step,
)
from orchestrations.pricing import quote
from orchestrations.terms_changes import LARGEST_BUDGET
from orchestrations.ulid import new_ulid
from orchestrations.usage import Tokens
from tenants.models import Tenant
from tests.conftest import new_tenant

NOW = datetime.now(UTC)
ADMIN = "/admin/orchestrations"


@pytest.fixture
def run(acme):
    return Orchestration.objects.create(
        id=f"maip-orch:{new_ulid()}",
        tenant=acme,
        mode="live",
        agent_id="agent",
        max_steps=10,
        timeout_seconds=300,
        started_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
        cost="5.4399",
    )


@pytest.fixture
def inference(run):
    return Inference.objects.create(
        receipt_id=uuid.uuid4(),
        tenant=run.tenant,
        mode="live",
        orchestration_id=run.pk,
        leaf_index=0,
        recorded_at=NOW,
        model="model-of-run",
        provider="custom",
        cost_source="unpriced",
    )


@pytest.fixture
def step(run):
    return Step.objects.create(
        tenant=run.tenant,
        mode=run.mode,
        orchestration_id=run.pk,
        step_number=1,
        recorded_at=NOW,
        action="tool_call",
        name="step-of-run",
    )


@pytest.fixture
def adjustment(inference):
    return Adjustment.objects.create(
        receipt_id=uuid.uuid4(),
        tenant=inference.tenant,
        mode="live",
        inference_id=inference.pk,
        recorded_at=NOW,
        after="0.25",
    )


@pytest.mark.parametrize("name", ["run", "inference", "step", "adjustment"])
def test_what_the_books_hold_is_looked_at_and_not_changed(operator, request, name):
    row = request.getfixturevalue(name)
    path = f"{ADMIN}/{row._meta.model_name}"
    assert operator.get(f"{path}/{_quoted(row.pk)}/change/").status_code == 200
    assert operator.post(f"{path}/add/").status_code == 403
    for verb in ("change", "delete"):
        answer = operator.post(f"{path}/{_quoted(row.pk)}/{verb}/", {"post": "yes"})
        assert answer.status_code == 403


def _quoted(pk):
    return str(pk).replace(":", "_3A")  # django.contrib.admin.utils.quote


@pytest.mark.parametrize(("part", "text"), [("inference", "model"), ("step", "step")])
def test_parts_of_a_run_are_found_by_its_id(operator, request, run, part, text):
    request.getfixturevalue(part)
    page = operator.get(f"{ADMIN}/{part}/", {"q": run.pk}).content.decode()
    assert f"{text}-of-run" in page
    page = operator.get(f"{ADMIN}/{part}/", {"q": "nothing"}).content.decode()
    assert f"{text}-of-run" not in page


def test_a_run_shows_what_it_cost(operator, run):
    page = operator.get(f"{ADMIN}/orchestration/", {"q": run.pk}).content.decode()
    assert ">5.4399<" in page


@pytest.mark.parametrize("name", ["orchestration", "inference", "step", "adjustment"])
def test_no_list_counts_its_table(operator, adjustment, step, name):
    with CaptureQueriesContext(connection) as queries:
        assert operator.get(f"{ADMIN}/{name}/").status_code == 200
    counts = [q["sql"] for q in queries if "COUNT(*)" in q["sql"]]
    assert all("LIMIT 10000" in sql for sql in counts)


def price_form(tenant, **fields):
    form = {
        "tenant": tenant.pk,
        "provider": "custom",
        "model": "qwen3-*",
        "valid_from_0": "2026-11-01",
        "valid_from_1": "00:00:00",
        "input_rate": "2",
        "output_rate": "10",
        "factor": "0.5",
    }
    return form | fields


def cents(tenant):
    version = Tenant.objects.get(pk=tenant.pk).keyring_version
    at = datetime(2026, 11, 20, tzinfo=UTC)
    call = Tokens(10_000)
    told = quote(tenant.pk, version, "custom", "qwen3-8b", call, at)
    return told and told.cents


def test_a_price_is_added_changed_and_deleted_and_counts_at_once(operator, acme):
    assert cents(acme) is None
    operator.post(f"{ADMIN}/price/add/", price_form(acme))
    assert cents(acme) == 1
    price = Price.objects.get(tenant=acme)
    operator.post(f"{ADMIN}/price/{price.pk}/change/", price_form(acme, factor="1"))
    assert cents(acme) == 2
    data = {"action": "delete_selected", "_selected_action": [price.pk], "post": "yes"}
    operator.post(f"{ADMIN}/price/", data)
    assert cents(acme) is None


def test_a_price_stays_with_its_tenant(operator, acme):
    operator.post(f"{ADMIN}/price/add/", price_form(acme))
    price = Price.objects.get(tenant=acme)
    data = price_form(new_tenant("globex"), factor="1")
    operator.post(f"{ADMIN}/price/{price.pk}/change/", data)
    price.refresh_from_db()
    assert (price.tenant_id, price.factor) == (acme.pk, Decimal(1))


def test_a_price_that_makes_no_sense_is_refused(operator, acme):
    answer = operator.post(f"{ADMIN}/price/add/", price_form(acme, model="q*3"))
    assert "may stand at the end, and only there" in answer.content.decode()
    assert not Price.objects.filter(tenant=acme).exists()


def spend(tenant, month, amount):
    MonthSpend.objects.create(tenant=tenant, mode="live", month=month, spent=amount)


def test_a_budget_shows_what_the_month_has_left(operator, acme):
    this_month = NOW.date().replace(day=1)
    spend(acme, this_month, Decimal("250.5"))
    spend(acme, this_month - timedelta(days=28), Decimal(9999))
    data = {"tenant": acme.pk, "mode": "live", "limit": "1000.25"}
    operator.post(f"{ADMIN}/budget/add/", data)
    budget = Budget.objects.get(tenant=acme)
    assert budget.limit == Decimal("1000.25")
    shown = operator.get(f"{ADMIN}/budget/", {"q": acme.slug}).content.decode()
    for text in (">1000.25<", ">250.5<", ">749.75<"):
        assert text in shown
    page = operator.get(f"{ADMIN}/budget/{budget.pk}/change/").content.decode()
    assert 'value="1000.25"' in page
    assert "749.75" in page


@pytest.mark.parametrize("limit", ["-1", "0.0000000001", LARGEST_BUDGET + 1, "NaN", ""])
def test_a_budget_that_no_column_holds_is_refused(operator, acme, limit):
    data = {"tenant": acme.pk, "mode": "live", "limit": limit}
    assert operator.post(f"{ADMIN}/budget/add/", data).status_code == 200
    assert not Budget.objects.filter(tenant=acme).exists()


def test_the_largest_budget_is_stored(operator, acme):
    data = {"tenant": acme.pk, "mode": "live", "limit": LARGEST_BUDGET}
    operator.post(f"{ADMIN}/budget/add/", data)
    assert Budget.objects.get(tenant=acme).limit == LARGEST_BUDGET


def test_every_worker_hears_of_a_changed_budget(operator, acme):
    def version():
        return Tenant.objects.get(pk=acme.pk).keyring_version

    versions = [version()]
    data = {"tenant": acme.pk, "mode": "live", "limit": "10"}
    operator.post(f"{ADMIN}/budget/add/", data)
    versions.append(version())
    path = f"{ADMIN}/budget/{Budget.objects.get(tenant=acme).pk}"
    operator.post(f"{path}/change/", data | {"limit": "20"})
    versions.append(version())
    assert Budget.objects.get(tenant=acme).limit == 20
    operator.post(f"{path}/delete/", {"post": "yes"})
    versions.append(version())
    assert not Budget.objects.filter(tenant=acme).exists()
    operator.post(f"{ADMIN}/budget/add/", data)
    selected = [Budget.objects.get(tenant=acme).pk]
    data = {"action": "delete_selected", "_selected_action": selected, "post": "yes"}
    operator.post(f"{ADMIN}/budget/", data)
    versions += [version() - 1, version()]
    assert versions == sorted(set(versions))
