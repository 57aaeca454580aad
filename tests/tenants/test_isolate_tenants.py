"""Two walls between tenants: managers that need one, and PostgreSQL's own policies."""

import secrets
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.test import Client

from lucid.isolation import NoTenant, across_tenants, current, working_for
from lucid.owned import TenantManager, TenantOwned
from orchestrations.models import RunDay, RunMonth, UsageDay, UsageHour, UsageMonth
from receipts.models import Log, Receipt, SigningKey
from tenants import database_role
from tenants.models import AccessEvent, ApiKey, Tenant
from tests.caller import HANDLER
from tests.conftest import ROLE
from tests.orchestrations.runs import post, record, start


def is_owned(model):
    return any(field.attname == "tenant_id" for field in model._meta.concrete_fields)


OWNED = [model for model in apps.get_models() if is_owned(model)]


@pytest.fixture
def on_postgresql(database):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no row-level security")


@pytest.fixture
def two(alice, charlie):
    alice.record(run_id="run-1")
    charlie.record(run_id="run-1")
    return alice, charlie


# Without a tenant


@pytest.mark.parametrize("model", OWNED, ids=lambda model: model.__name__)
def test_rows_of_nobody_in_particular_are_not_to_be_had(database, model):
    assert issubclass(model, TenantOwned)
    assert isinstance(model._default_manager, TenantManager)
    with working_for():
        for ask in (
            lambda: model.objects.all(),
            lambda: model.objects.count(),
            lambda: model.objects.filter(pk=None).exists(),
            lambda: model.objects.update(),
        ):
            with pytest.raises(NoTenant):
                ask()


def test_a_thread_begins_for_nobody_and_a_block_ends_as_it_began(acme):
    assert current() == "*"  # what tests are
    with working_for():
        assert current() is None
        with working_for(acme.pk), across_tenants():
            pass
        assert current() is None


def test_managers_show_the_rows_of_those_worked_for(two):
    alice, charlie = two
    with working_for(alice.tenant.pk):
        assert Receipt.objects.get(run_id="run-1").tenant_id == alice.tenant.pk
        assert [*Tenant.objects.all()] == [alice.tenant]
        assert not ApiKey.objects.filter(pk=charlie.key.pk).exists()
        assert not ApiKey.objects.filter(pk=charlie.key.pk).update(name="mine")
    with working_for(alice.tenant.pk, charlie.tenant.pk):
        assert Receipt.objects.filter(run_id="run-1").count() == 2


def test_a_request_leaves_nothing_to_the_next(two):
    alice, _ = two
    with working_for():
        assert alice.get("/v1/receipts/run-1").status_code == 200
        assert current() is None
        client = Client()
        client.handler = HANDLER
        assert client.get("/v1/receipts/run-1").status_code == 401
        assert current() is None


# What PostgreSQL keeps apart


def tables():
    return sorted({model._meta.db_table for model in OWNED} | {"tenants_tenant"})


def test_every_table_of_tenants_has_a_policy(on_postgresql):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid"
            " WHERE c.relrowsecurity AND p.polcmd = '*' AND p.polroles = '{0}'"
        )
        assert sorted(name for (name,) in cursor.fetchall()) == tables()


def test_the_suite_itself_runs_under_a_role_that_is_bound(on_postgresql):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        )
        assert cursor.fetchall() == [(ROLE, False)]


def seen(table):
    """What a query without any condition brings."""
    with connection.cursor() as cursor:
        column = "id" if table == "tenants_tenant" else "tenant_id"
        cursor.execute(f"SELECT DISTINCT {column} FROM {table}")  # noqa: S608
        return {tenant_id for (tenant_id,) in cursor.fetchall()}


@pytest.mark.parametrize("table", tables())
def test_a_query_without_a_condition_brings_ones_own(on_postgresql, two, table):
    alice, charlie = two
    with across_tenants():
        everybody = seen(table)
    with working_for(alice.tenant.pk):
        assert seen(table) == everybody & {alice.tenant.pk}
    with working_for(charlie.tenant.pk, alice.tenant.pk):
        assert seen(table) == everybody & {alice.tenant.pk, charlie.tenant.pk}
    with working_for():
        assert seen(table) == set()


SUMS = [RunDay, RunMonth, UsageDay, UsageHour, UsageMonth]  # a policy of their own


@pytest.mark.parametrize("model", SUMS, ids=lambda model: model.__name__)
def test_sums_are_of_those_worked_for(on_postgresql, two, model):
    ids = set()
    for caller in two:
        run = start(caller)
        record(caller, run, cost_cents=1)
        post(caller, run, "complete", {})
        ids.add(caller.tenant.pk)
    table = model._meta.db_table
    assert seen(table) >= ids
    for caller in two:
        with working_for(caller.tenant.pk):
            assert seen(table) == {caller.tenant.pk}
            rows = model._base_manager.exclude(tenant=caller.tenant)
            assert rows.update(cost=7) == 0
            with pytest.raises(DatabaseError, match="row-level security"):
                model._base_manager.filter(tenant=caller.tenant).update(tenant=uuid4())
    with working_for(*ids):
        assert seen(table) == ids
    with working_for():
        assert seen(table) == set()


def test_nobody_writes_the_rows_of_others(on_postgresql, two):
    alice, charlie = two
    rows = ApiKey._base_manager.filter(pk=charlie.key.pk)
    with working_for(alice.tenant.pk):
        assert rows.update(name="mine") == 0
        assert rows.delete() == (0, {})
        foreign = AccessEvent(tenant=charlie.tenant, action="forged")
        with pytest.raises(DatabaseError, match="row-level security"):
            foreign.save()
    with working_for(), pytest.raises(DatabaseError, match="row-level security"):
        AccessEvent(tenant=charlie.tenant, action="forged").save()
    charlie.key.refresh_from_db()
    assert charlie.key.name == "test"


def setting():
    with working_for(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lucid.tenant', true)")
        return cursor.fetchone()[0] or ""


def test_nothing_stays_on_a_connection_that_a_pooler_hands_on(on_postgresql, two):
    alice, _ = two
    with working_for(alice.tenant.pk):
        Receipt.objects.first()
        assert setting() == ""
        with transaction.atomic():
            Receipt.objects.first()
            assert setting() == str(alice.tenant.pk)
        assert setting() == ""
    with across_tenants(), pytest.raises(DatabaseError), transaction.atomic():
        connection.cursor().execute("SELECT 1/0")
    assert setting() == ""


def test_a_savepoint_that_is_rolled_back_changes_nobodys_view(on_postgresql, two):
    alice, charlie = two
    with transaction.atomic():
        with working_for(alice.tenant.pk):
            with pytest.raises(DatabaseError), transaction.atomic():
                connection.cursor().execute("SELECT 1/0")
            assert seen("receipts_receipt") == {alice.tenant.pk}
        with working_for(charlie.tenant.pk):
            assert seen("receipts_receipt") == {charlie.tenant.pk}


@pytest.mark.parametrize("within_transaction", [True, False])
def test_rows_that_are_fetched_in_chunks_are_ones_own(
    on_postgresql, two, within_transaction
):
    alice, _ = two
    alice.record(run_id="run-2")
    with working_for(alice.tenant.pk):
        rows = Receipt._base_manager.order_by("leaf_index")
        if within_transaction:
            with transaction.atomic():
                found = [row.run_id for row in rows.iterator(chunk_size=1)]
        else:
            found = [row.run_id for row in rows.iterator(chunk_size=1)]
    assert found == ["run-1", "run-2"]


def test_many_statements_at_once_are_ones_own(on_postgresql, two):
    alice, charlie = two
    with working_for(alice.tenant.pk), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE tenants_apikey SET name = %s WHERE id = %s",
            [("mine", alice.key.pk), ("mine", charlie.key.pk)],
        )
    alice.key.refresh_from_db()
    charlie.key.refresh_from_db()
    assert (alice.key.name, charlie.key.name) == ("mine", "test")


def test_a_prepared_query_of_psycopg_is_understood(on_postgresql, two):
    alice, _ = two
    with working_for(alice.tenant.pk), connection.cursor() as cursor:
        cursor.execute(
            psycopg.sql.SQL("SELECT count(*) FROM {}").format(
                psycopg.sql.Identifier("receipts_log")
            )
        )
        assert cursor.fetchone() == (1,)


# The walls hold one without the other


def test_without_managers_the_database_keeps_them_apart(
    on_postgresql, two, monkeypatch
):
    """As if every view had lost its filters."""
    alice, charlie = two
    theirs = Receipt.objects.get(tenant=alice.tenant)
    plain = models.Manager.get_queryset
    monkeypatch.setattr(TenantManager, "get_queryset", plain)
    monkeypatch.setattr(
        type(Receipt.objects.all()), "of_log", lambda self, tenant_id, mode: self
    )
    listed = charlie.get("/v1/receipts").json()["receipts"]
    assert [receipt["run_id"] for receipt in listed] == ["run-1"]
    assert listed[0]["receipt_id"] != str(theirs.pk)
    assert charlie.get(f"/v1/receipts/{theirs.pk}").status_code == 404
    assert alice.get(f"/v1/receipts/{theirs.pk}").status_code == 200


# The role


class TestCreatingARole:
    @pytest.fixture(autouse=True)
    def _as_owner(self, on_postgresql):
        with transaction.atomic():
            connection.cursor().execute("SET LOCAL ROLE NONE")
            yield
            transaction.set_rollback(True)

    def test_it_is_bound_and_owns_nothing(self):
        database_role.create_or_change("lucid_new", secrets.token_urlsafe())
        database_role.grant("lucid_new")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole,"
                " rolcreatedb, rolinherit FROM pg_roles WHERE rolname = 'lucid_new'"
            )
            assert cursor.fetchone() == (True, False, False, False, False, False)
            cursor.execute("SET LOCAL ROLE lucid_new")

    @pytest.mark.parametrize(
        ("table", "rights"),
        [
            ("receipts_receipt", {"SELECT", "INSERT"}),
            ("receipts_tile", {"SELECT", "INSERT"}),
            ("tenants_accessevent", {"SELECT", "INSERT"}),
            ("django_migrations", {"SELECT"}),
            ("receipts_log", {"SELECT", "INSERT", "UPDATE", "DELETE"}),
        ],
    )
    def test_it_may_do_what_the_product_does(self, table, rights):
        database_role.create_or_change("lucid_new", secrets.token_urlsafe())
        database_role.grant("lucid_new")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT privilege_type FROM information_schema.role_table_grants"
                " WHERE grantee = 'lucid_new' AND table_name = %s",
                [table],
            )
            assert {right for (right,) in cursor.fetchall()} == rights

    def test_the_server_is_told_no_password(self):
        verifier = database_role.encrypted("lucid_new", "correct horse battery")
        assert verifier.startswith("SCRAM-SHA-256$")
        assert "horse" not in verifier


def test_a_url_takes_another_role():
    url = "postgres://owner:old@db.example:5433/lucid?sslmode=verify-full"
    assert (
        database_role.url_as(url, "lucid_app", "a/b@c")
        == "postgres://lucid_app:a%2Fb%40c@db.example:5433/lucid?sslmode=verify-full"
    )


def test_logs_and_keys_are_walled_too(two):
    alice, _ = two
    with working_for(alice.tenant.pk):
        assert {log.tenant_id for log in Log.objects.all()} == {alice.tenant.pk}
        kids = {key.tenant_id for key in SigningKey.objects.all()}
        assert kids == {alice.tenant.pk}
