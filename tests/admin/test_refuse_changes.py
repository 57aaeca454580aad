"""Nobody changes in the admin what is append-only, superusers included."""

import pytest
from django.contrib.admin import site
from django.db import connection

from tenants import events
from tests.conftest import new_tenant

TRIGGERS = {
    "postgresql": "SELECT tgrelid::regclass::text FROM pg_trigger"
    " WHERE tgname = 'append_only'",
    "sqlite": "SELECT tbl_name FROM sqlite_master"
    " WHERE type = 'trigger' AND lower(name) LIKE '%%_no_delete'",
}


@pytest.fixture
def rows(alice):
    """A row of each table that the database itself keeps from being changed."""
    alice.record()
    actor = events.Actor(events.ActorKind.SYSTEM)
    events.record(actor, "test.done", tenant_id=alice.tenant.pk)
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS[connection.vendor])
        tables = {table for (table,) in cursor.fetchall()}
    assert {"receipts_receipt", "receipts_log", "tenants_accessevent"} <= tables
    return [
        (model, model._default_manager.filter(tenant=alice.tenant).get())
        for model in site._registry
        if model._meta.db_table in tables
    ]


def state(row):
    return type(row)._default_manager.filter(pk=row.pk).values().get()


def address(model, *parts):
    meta = model._meta
    return "/".join(["/admin", meta.app_label, meta.model_name, *map(str, parts), ""])


def test_there_is_something_to_look_at(rows):
    assert {model._meta.label for model, _ in rows} >= {
        "receipts.Receipt",
        "receipts.Log",
    }


def test_nothing_is_added(operator, rows):
    for model, _ in rows:
        path = address(model, "add")
        assert operator.get(path).status_code == 403
        assert operator.post(path, {"tenant": new_tenant("x").pk}).status_code == 403


def test_nothing_is_changed(operator, rows):
    for model, row in rows:
        before = state(row)
        fields = dict.fromkeys(before, "1") | {"_save": "Save"}
        path = address(model, row.pk, "change")
        assert operator.get(path).status_code == 200
        assert "_save" not in operator.get(path).content.decode()
        assert operator.post(path, fields).status_code == 403
        assert state(row) == before


def test_nothing_is_deleted(operator, rows):
    for model, row in rows:
        path = address(model, row.pk, "delete")
        assert operator.get(path).status_code == 403
        assert operator.post(path, {"post": "yes"}).status_code == 403
        assert state(row)


def test_nothing_is_deleted_in_bulk(operator, rows):
    for model, row in rows:
        chosen = {"action": "delete_selected", "_selected_action": [row.pk]}
        for step in ({"index": "0"}, {"post": "yes"}, {"post": "yes", "index": "0"}):
            operator.post(address(model), chosen | step)
            assert state(row)
        everything = chosen | {"select_across": "1", "post": "yes"}
        operator.post(address(model), everything)
        assert state(row)


def test_nothing_is_edited_in_the_list(operator, rows):
    for model, row in rows:
        before = state(row)
        forms = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": row.pk}
        fields = {f"form-0-{name}": "1" for name in before} | forms | {"_save": "Save"}
        operator.post(address(model), fields)
        assert state(row) == before
