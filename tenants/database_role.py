"""Which role the server may have in PostgreSQL: one that row-level security binds.

Superusers and roles with BYPASSRLS are bound by no policy, and whoever owns a table
may change its policies.
"""

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.base import BaseDatabaseWrapper

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
    if complaint := _complaint(connection):
        raise ImproperlyConfigured(
            f"The database role {_role(connection)!r} {complaint}, so that row-level"
            " security would not bind it. Make one that serves with `manage.py"
            " create_database_role`, and name that in the server's DATABASE_URL."
        )


def _complaint(connection: BaseDatabaseWrapper) -> str | None:
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
