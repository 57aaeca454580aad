"""Three actors and a real database.

Rows are committed, as threads of the ledger have to see them, and logs refuse to be
emptied. So every test works in tenants of its own and nothing is ever flushed: what
keeps tests apart is what keeps tenants apart.
"""

import os
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from django.db import connection, connections
from django.test.utils import setup_databases, teardown_databases

from lucid.isolation import across_tenants, working_for
from orchestrations.gateway.beginning import BeginTransaction
from receipts.postgres import PostgresTransaction
from tenants import database_role, rate_limits
from tenants.models import ApiKey, Mode, Tenant
from tests.caller import Caller

hypothesis.settings.register_profile("shared-machine", deadline=None)
hypothesis.settings.load_profile("shared-machine")


# Each process of a parallel run has a database and a role of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")


def _use_a_file(sqlite: dict[str, Any]) -> None:
    """In memory, Django's default for tests, a reader would lock a writer out."""
    sqlite["TEST"]["NAME"] = f"{sqlite['NAME']}-test{WORKER}"
    sqlite["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"  # nobody crashes


ROLE = f"lucid_tests{WORKER}"


def _serve_under_role() -> None:
    """Go on as the product does: under a role that row-level security binds.

    A test that plays an operator with the database's password sets it aside, with
    `SET ROLE NONE`.
    """
    database_role.create_or_change(ROLE, secrets.token_urlsafe())
    database_role.grant(ROLE)
    _disconnect()
    _drop_empty()  # of a run that was killed
    _run_apart(f'CREATE DATABASE "{_empty()}" TEMPLATE "{_name()}"')
    options = connection.settings_dict["OPTIONS"]
    options["options"] += f" -c role={ROLE}"


def _own_database() -> None:
    options = connection.settings_dict["OPTIONS"]
    options["options"] = options["options"].removesuffix(f" -c role={ROLE}")
    _disconnect()
    _drop_empty()


def _disconnect() -> None:
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's


def _name() -> str:
    return str(connection.settings_dict["NAME"])


def _empty() -> str:
    return f"{_name()}_empty"


def _drop_empty() -> None:
    _run_apart(f'DROP DATABASE IF EXISTS "{_empty()}"')


def _run_apart(sql: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(sql)


@pytest.fixture(scope="module")
def no_rows_of_others(_database, django_db_blocker) -> Iterator[None]:
    """Work in a copy of the database as it was before any test, where it has copies.

    For those whom rows that other tests left would disturb: what a planner does, say.
    """
    if connection.vendor != "postgresql":
        yield
        return
    name = _name()
    with django_db_blocker.unblock(), working_for():
        _disconnect()
        connection.settings_dict["NAME"] = _empty()
    yield
    with django_db_blocker.unblock(), working_for():
        _disconnect()
        connection.settings_dict["NAME"] = name


@pytest.fixture(scope="session", autouse=True)
def _as_operator() -> Iterator[None]:
    """A test looks at the rows of all tenants; a request begins for nobody."""
    with across_tenants():
        yield


@pytest.fixture(scope="session")
def _database(django_test_environment, django_db_blocker) -> Iterator[None]:
    if connection.vendor == "sqlite":
        _use_a_file(connection.settings_dict)
    elif WORKER:
        connection.settings_dict["TEST"]["NAME"] = f"test_{_name()}{WORKER}"
    # For nobody: CREATE DATABASE is a message of its own.
    with django_db_blocker.unblock(), working_for():
        created = setup_databases(verbosity=0, interactive=False)
        if connection.vendor == "postgresql":
            _serve_under_role()
    yield
    with django_db_blocker.unblock(), working_for():
        rate_limits.disconnect()
        PostgresTransaction.disconnect()
        BeginTransaction.disconnect()
        connections.close_all()
        if connection.vendor == "postgresql":
            _own_database()
        teardown_databases(created, verbosity=0)


@pytest.fixture
def database(_database, django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


def new_tenant(name: str) -> Tenant:
    return Tenant.objects.create(slug=f"{name}-{uuid.uuid4().hex[:12]}", name=name)


def new_caller(
    tenant: Tenant, scopes: tuple[str, ...] = ("*",), mode: str = Mode.LIVE
) -> Caller:
    key, text = ApiKey.objects.issue(tenant, "test", list(scopes), mode)
    return Caller(tenant, key, text)


@pytest.fixture
def acme(database) -> Tenant:
    return new_tenant("acme")


@pytest.fixture
def alice(acme) -> Caller:
    """Owns what a test is about."""
    return new_caller(acme)


@pytest.fixture
def bob(acme) -> Caller:
    """Works for Alice's tenant, with a key that may only read."""
    return new_caller(acme, ("receipts:read",))


@pytest.fixture
def charlie(database) -> Caller:
    """The outsider: may do everything, in another tenant."""
    return new_caller(new_tenant("globex"))
