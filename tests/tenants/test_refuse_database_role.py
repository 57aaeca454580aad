"""The server serves under a role that row-level security binds, or not at all."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.db.backends.postgresql.base import DatabaseWrapper

from lucid.first_use import BASE_DIR
from tenants.database_role import refuse_missing_grants, refuse_unsafe_role

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="roles are PostgreSQL's"
)


@pytest.fixture
def run_sql(database):
    def run(statement):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL ROLE NONE")
            cursor.execute(statement)

    return run


@pytest.fixture
def role(run_sql) -> Iterator[str]:
    name = f"server_{os.getpid()}"
    run_sql(f"CREATE ROLE {name} LOGIN")
    yield name
    run_sql(f"DROP OWNED BY {name}")
    run_sql(f"DROP ROLE {name}")


@pytest.fixture
def as_role(role) -> Iterator[DatabaseWrapper]:
    """A connection of its own, logged in as the role."""
    options = connection.settings_dict["OPTIONS"] | {"pool": False, "options": ""}
    settings = connection.settings_dict | {"USER": role, "OPTIONS": options}
    wrapper = DatabaseWrapper(settings)
    yield wrapper
    wrapper.close()


def test_a_role_with_grants_alone_is_taken(as_role, role, run_sql):
    run_sql(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}")
    refuse_unsafe_role(as_role)


def test_what_was_not_granted_is_told(as_role, role, run_sql):
    refuse_unsafe_role(as_role)
    with pytest.raises(ImproperlyConfigured, match="may not read the table"):
        refuse_missing_grants(as_role)
    run_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    refuse_missing_grants(as_role)
    run_sql(f"REVOKE SELECT ON receipts_log FROM {role}")  # noqa: S608
    with pytest.raises(ImproperlyConfigured, match=r"receipts_log.*after each"):
        refuse_missing_grants(as_role)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("ALTER ROLE {} SUPERUSER", "is a superuser"),
        ("ALTER ROLE {} BYPASSRLS", "has BYPASSRLS"),
    ],
)
def test_a_role_that_no_policy_binds_is_refused(
    as_role, role, run_sql, change, complaint
):
    run_sql(change.format(role))
    with pytest.raises(ImproperlyConfigured, match=complaint) as refusal:
        refuse_unsafe_role(as_role)
    assert repr(role) in str(refusal.value)
    assert "manage.py create_database_role" in str(refusal.value)


@pytest.fixture
def owner(run_sql, role) -> Iterator[str]:
    """Another role, which owns a table of ours for a while."""
    name = f"owner_{os.getpid()}"
    before = connection.settings_dict["USER"]
    run_sql(f"CREATE ROLE {name}")
    run_sql(f"GRANT CREATE ON SCHEMA public TO {name}")
    run_sql(f"ALTER TABLE receipts_log OWNER TO {name}")
    yield name
    run_sql(f"ALTER TABLE receipts_log OWNER TO {before}")
    run_sql(f"DROP OWNED BY {name}")
    run_sql(f"DROP ROLE {name}")


def test_the_owner_of_a_table_is_refused(as_role, role, owner, run_sql):
    refuse_unsafe_role(as_role)
    run_sql(f"ALTER TABLE receipts_log OWNER TO {role}")
    try:
        with pytest.raises(ImproperlyConfigured, match="owns the table receipts_log"):
            refuse_unsafe_role(as_role)
    finally:
        run_sql(f"ALTER TABLE receipts_log OWNER TO {owner}")


@pytest.mark.parametrize("inherits", ["INHERIT", "NOINHERIT"])
def test_a_member_of_the_owner_is_refused(as_role, role, owner, run_sql, inherits):
    run_sql(f"ALTER ROLE {role} {inherits}")
    run_sql(f"GRANT {owner} TO {role}")
    with pytest.raises(ImproperlyConfigured, match="owns the table receipts_log"):
        refuse_unsafe_role(as_role)


def test_the_role_of_the_test_run_is_a_superuser_and_refused(database):
    with pytest.raises(ImproperlyConfigured, match="is a superuser"):
        refuse_unsafe_role(connection)


def test_a_refusal_leaves_the_connection_usable(as_role, role, run_sql):
    run_sql(f"ALTER ROLE {role} SUPERUSER")
    with pytest.raises(ImproperlyConfigured):
        refuse_unsafe_role(as_role)
    with as_role.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert isinstance(as_role.connection, psycopg.Connection)


def test_the_server_does_not_start_as_the_owner(database):
    """The URL of the test run is a superuser's, as the owner's is in many places."""
    done = subprocess.run(
        [sys.executable, "-c", "import lucid.wsgi"],
        cwd=BASE_DIR,
        env=os.environ | {"PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "is a superuser" in done.stderr
    assert "manage.py create_database_role" in done.stderr
