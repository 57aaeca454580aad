"""Lists, filters and searches of tables that grow by millions read few rows of them."""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext

from lucid.api.large_tables import NewestPaginator
from receipts.keyring import log_of
from tests.conftest import ROLE, new_tenant

# A row for each call, or for each thing that somebody did.
LARGE = {
    "receipts.Receipt",
    "orchestrations.Orchestration",
    "orchestrations.Inference",
    "orchestrations.Step",
    "orchestrations.Adjustment",
    "tenants.AccessEvent",
}
TABLES = {apps.get_model(label)._meta.db_table for label in LARGE}
ROWS = 30_000
NEWEST = 300  # in place of the 10,000 of NewestPaginator
PAGE = 30  # and of 100: writing the rows of a page is what takes the time here
MOST_READ = 2 * NEWEST

NEWEST_IDS = "ffffffff-ffff-7fff-bfff-"
# One that is there and one that is not, of every kind of id; and no id at all.
SEARCHES = [
    f"{NEWEST_IDS}{ROWS // 2:012x}",
    str(uuid.uuid4()),
    "maip-orch:01HZZZZZZZZZZZZZZZZZZZZZZZ",
    "run-17",
    "no such thing",
    "17",
]


def fill(model: type[models.Model], fixed: dict[str, Any]) -> None:
    """Insert rows that differ in what is unique, and in nothing that filters tell."""
    columns, values = [], []
    for field in model._meta.concrete_fields:
        if isinstance(field, models.AutoField):
            continue
        columns.append(connection.ops.quote_name(str(field.column)))
        values.append(_expression(field, fixed))
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608
            f" SELECT {', '.join(values)} FROM generate_series(1, {ROWS}) AS i"
        )
        cursor.execute("SET LOCAL ROLE NONE")  # analyzing is the owner's
        cursor.execute(f"ANALYZE {table}")
        cursor.execute(f"SET LOCAL ROLE {ROLE}")


def _expression(field: models.Field, fixed: dict[str, Any]) -> str:  # type: ignore[type-arg]
    if field.column in fixed:
        return f"'{fixed[field.column]}'"
    if field.column == "run_id":
        return "'run-' || i"
    if field.null:
        return "NULL"
    match field:
        # They grow, as real ones do: the newest rows lie together.
        case models.UUIDField() if field.primary_key:
            return f"('{NEWEST_IDS}' || lpad(to_hex(i), 12, '0'))::uuid"
        case models.CharField() if field.primary_key:
            return "'maip-orch:7Z' || lpad(i::text, 24, '0')"
        case models.CharField() | models.TextField():
            choices = [value for value, _ in field.choices or [("x", "")]]
            return f"'{field.default if field.has_default() else choices[0]}'"
        case models.UUIDField():
            return f"'{uuid.UUID(int=0)}'"
        case models.BinaryField():
            return "decode(lpad(to_hex(i), 64, '0'), 'hex')"
        case models.DateTimeField():
            return "now()"
        case models.JSONField():
            return "'{}'"
        case models.BooleanField():
            return "false"
    return "i"


@pytest.fixture(scope="module")
def large_tables(no_rows_of_others, django_db_blocker) -> Iterator[None]:
    """Fill them, within a transaction that nobody else sees and that is rolled back."""
    if connection.vendor != "postgresql":
        yield
        return
    with django_db_blocker.unblock(), transaction.atomic():
        tenant = new_tenant("large")
        fixed = {"tenant_id": tenant.pk, "log_id": log_of(tenant.pk, "live").pk}
        for label in LARGE:
            fill(apps.get_model(label), fixed)
        yield
        transaction.set_rollback(True)


def addresses(operator, model):
    """The list in every form that the page has a link or a field for."""
    path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    yield path
    yield from (
        f"{path}?{query}" for query in ("o=2.-3", "_facets=True", "all=", "p=2")
    )
    shown = operator.get(path).context_data["cl"]
    for spec in shown.filter_specs or ():
        for choice in spec.choices(shown):
            yield path + choice["query_string"]
    if shown.search_fields:
        yield from (f"{path}?q={term}" for term in SEARCHES)


def asked_for(operator, address):
    """The queries of a page that read a large table."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert operator.get(address).status_code == 200, address
    asked = [
        query["sql"].removeprefix("SET LOCAL lucid.tenant TO '*'; ")
        for query in captured.captured_queries
    ]
    return [
        sql
        for sql in asked
        if sql.startswith("SELECT") and any(f'"{table}"' in sql for table in TABLES)
    ]


@pytest.mark.parametrize("model", list(site._registry), ids=lambda m: m._meta.label)
def test_no_list_reads_much_of_a_large_table(
    large_tables, operator, model, monkeypatch
):
    monkeypatch.setattr(NewestPaginator, "LIMIT", NEWEST)
    monkeypatch.setattr(site._registry[model], "list_per_page", PAGE)
    for address in addresses(operator, model):
        for sql in asked_for(operator, address):
            assert "COUNT(" not in sql or "LIMIT" in sql, (address, sql)
            if connection.vendor == "postgresql":
                for node in plan_of(sql):
                    assert not complaint_about(node), f"{node} of {sql} at {address}"


def plan_of(sql: str) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        (answer,) = cursor.fetchone()
    plans = json.loads(answer) if isinstance(answer, str) else answer
    yield from nodes_of(plans[0]["Plan"])


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


def complaint_about(node: dict[str, Any]) -> str | None:
    if node.get("Relation Name") not in TABLES:
        return None
    removed = node.get("Rows Removed by Filter", 0)
    if (node["Actual Rows"] + removed) * node["Actual Loops"] > MOST_READ:
        return "reads many rows"
    condition = node.get("Index Cond")
    if condition and not re.search(first_column(node["Index Name"]), condition):
        return "reads all of an index"
    return None


def first_column(index: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum = 1",
            [index],
        )
        return rf"\b{cursor.fetchone()[0]}\b"
