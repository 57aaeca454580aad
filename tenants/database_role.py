"""The role that Lucid serves under in PostgreSQL: one that row-level security binds.

Superusers and roles with BYPASSRLS are bound by no policy, and whoever owns a table
may change its policies. So it is none of these, and may read and write what the
product does, and no more: what is append-only it may not change even if a trigger
were lost.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

logger = logging.getLogger(__name__)

# Roles of which this one is a member count as well: SET ROLE is all it takes.
RIGHTS = """
    SELECT coalesce(bool_or(rolsuper), false), coalesce(bool_or(rolbypassrls), false)
    FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
"""
OWNED = """
    SELECT relname FROM pg_class
    WHERE relname = ANY(%s) AND pg_table_is_visible(oid)
        AND pg_has_role(session_user, relowner, 'MEMBER')
    ORDER BY relname LIMIT 1
"""


def refuse_unsafe_role(connection: BaseDatabaseWrapper) -> None:
    """Raise ImproperlyConfigured if the role could see rows of every tenant."""
    if connection.vendor != "postgresql":
        return
    if complaint := complaint_about(connection):
        raise ImproperlyConfigured(
            f"The database role {_role(connection)!r} {complaint}, so that row-level"
            " security would not bind it. Make one that serves with `manage.py"
            " create_database_role`, and name that in the server's DATABASE_URL."
        )


def complaint_about(connection: BaseDatabaseWrapper) -> str | None:
    """Return why the policies do not bind the role we have; None if they do."""
    with connection.cursor() as cursor:
        cursor.execute(RIGHTS)
        is_superuser, bypasses = cursor.fetchone()
        cursor.execute(OWNED, [connection.introspection.django_table_names()])
        owned = cursor.fetchone()
    if is_superuser:
        return "is a superuser, or a member of one"
    if bypasses:
        return "has BYPASSRLS, or is a member of a role that has"
    return f"owns the table {owned[0]}, or is a member of its owner" if owned else None


def _role(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        return str(cursor.fetchone()[0])


# What a migration has made since is granted to nobody.
NOT_GRANTED = """
    SELECT relname FROM pg_class
    WHERE relname = ANY(%s) AND pg_table_is_visible(oid)
        AND NOT has_table_privilege(oid, 'SELECT')
    ORDER BY relname LIMIT 1
"""


def refuse_missing_grants(connection: BaseDatabaseWrapper) -> None:
    """Raise ImproperlyConfigured if there is a table that the role may not read."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(NOT_GRANTED, [connection.introspection.django_table_names()])
        found = cursor.fetchone()
    if found:
        role = _role(connection)
        raise ImproperlyConfigured(
            f"The database role {role!r} may not read the table {found[0]}. Run"
            f" `manage.py create_database_role {role}` as the owner after each"
            " `migrate`."
        )


def refuse_to_serve() -> None:
    """Raise ImproperlyConfigured rather than serve without row-level security.

    Of a database that cannot be reached now nothing wrong is known: requests wait for
    it with 503, as they do later.
    """
    try:
        refuse_unsafe_role(connection)
        refuse_missing_grants(connection)
    except OperationalError as error:
        logger.warning("the database's role is not known yet: %s", error)
    finally:
        connection.close()


# Making one

APPEND_ONLY = frozenset({"receipts_receipt", "receipts_tile", "tenants_accessevent"})
READ_ONLY = frozenset({"django_migrations", "django_content_type", "auth_permission"})
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def encrypted(role: str, password: str) -> str:
    """Return the SCRAM verifier of a password, so that no server log has the latter."""
    connection.ensure_connection()
    pg: Any = connection.connection.pgconn
    verifier = pg.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return str(verifier.decode())


def url_as(url: str, role: str, password: str) -> str:
    """Return a DATABASE_URL with another role's credentials."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    credentials = ":".join(quote(text, safe="") for text in (role, password))
    return parts._replace(netloc=f"{credentials}@{place}").geturl()


def exists(role: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        return cursor.fetchone() is not None


def create_or_change(role: str, password: str) -> None:
    verb = "ALTER" if exists(role) else "CREATE"
    _execute(
        f"{verb} ROLE {{role}} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
        " NOBYPASSRLS NOINHERIT PASSWORD {password}",
        role=sql.Identifier(role),
        password=sql.Literal(encrypted(role, password)),
    )


def grant(role: str) -> None:
    """Let the role do what the product does with each table; may be repeated."""
    named = {"role": sql.Identifier(role), "schema": sql.Identifier(_schema())}
    _execute("GRANT USAGE ON SCHEMA {schema} TO {role}", **named)
    for table in _tables():
        place = named | {"table": sql.Identifier(table)}
        _execute("REVOKE ALL ON {table} FROM {role}", **place)
        _execute(f"GRANT {_rights(table)} ON {{table}} TO {{role}}", **place)
    _execute(
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}", **named
    )


def _rights(table: str) -> str:
    if table in READ_ONLY:
        return "SELECT"
    if table in APPEND_ONLY:
        return "SELECT, INSERT"
    return "SELECT, INSERT, UPDATE, DELETE"


def _tables() -> Iterable[str]:
    models = apps.get_models(include_auto_created=True)
    return sorted({model._meta.db_table for model in models} | {"django_migrations"})


def _schema() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return str(cursor.fetchone()[0])


def _execute(statement: str, **named: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(**named))
