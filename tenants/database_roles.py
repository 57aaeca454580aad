"""The PostgreSQL role that Lucid serves under: bound by row-level security.

It owns nothing and is no superuser, as these see every row whatever the policies say.
It may read and write what the product does, and no more: what is append-only it may
not change even if a trigger were lost.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from psycopg import sql

logger = logging.getLogger(__name__)

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


def unbound_because() -> str | None:
    """Return why row-level security does not bind the role we have; None if it does."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT rolname, rolsuper, rolbypassrls, EXISTS (
                SELECT FROM pg_class WHERE relname = ANY(%s)
                    AND pg_has_role(session_user, relowner, 'MEMBER')
            ) FROM pg_roles WHERE rolname IN (session_user, current_user)
            """,
            [list(_tables())],
        )
        for name, is_super, bypasses, owns in cursor.fetchall():
            if is_super:
                return f"{name} is a superuser"
            if bypasses:
                return f"{name} has BYPASSRLS"
            if owns:
                return f"{name} owns Lucid's tables, or may act as their owner"
    return None


def refuse_unbound() -> None:
    """Raise ImproperlyConfigured rather than serve without row-level security.

    A database that cannot be reached now is not known to be wrong: requests wait for it
    with 503, as they do later.
    """
    if connection.vendor != "postgresql":
        return
    try:
        reason = unbound_because()
    except OperationalError as error:
        logger.warning("the database's role is not known yet: %s", error)
        return
    finally:
        connection.close()
    if reason:
        raise ImproperlyConfigured(
            f"DATABASE_URL: {reason}, whom row-level security does not bind. Make a"
            " role to serve under with `manage.py create_database_role`, and name that."
        )


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
