"""Django's PostgreSQL, which is told with every statement whose rows may be seen.

The setting `lucid.tenant` is what the policies of row-level security compare with
(`tenants.row_security`). It is local to a transaction, so that nothing is left behind
on a connection that somebody else gets next, from our pool or from a pooler that hands
connections out by transaction. Hence it is set anew with each statement: in the same
message, which PostgreSQL runs as one transaction where none is open, and with no
memory of ours that a rolled back savepoint could make a lie of.
"""

from collections.abc import Iterable
from typing import Any, Self

import psycopg
from django.db.backends.postgresql import base
from psycopg import sql
from psycopg.pq import TransactionStatus

from lucid import isolation


def _setting() -> str | None:
    """Return the statement that names those worked for; None when it is nobody."""
    tenants = isolation.current()
    if tenants is None:
        return None  # nobody's rows are seen where nothing is set
    value = isolation.as_setting(tenants)  # ids, which need no escaping
    return f"SET LOCAL lucid.tenant TO '{value}'; "


class Cursor(base.CursorMixin, psycopg.ClientCursor[Any]):  # as Django's own
    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        setting = _setting()
        # A transaction that failed takes nothing but its end, or that of a savepoint.
        failed = self.connection.pgconn.transaction_status == TransactionStatus.INERROR
        if setting is None or failed:
            return super().execute(query, params, **options)
        if isinstance(query, sql.Composable):
            query = sql.SQL(setting) + query
        elif isinstance(query, bytes):
            query = setting.encode() + query
        else:
            query = setting + query
        super().execute(query, params, **options)
        self.nextset()
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], **_: Any) -> None:
        # psycopg would send these in a pipeline, which takes one statement at a time.
        for params in params_seq:
            self.execute(query, params)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    def chunked_cursor(self) -> Any:
        """Return a cursor that fetches in chunks within a transaction, else at once.

        A cursor that outlived its transaction would have to stay on its connection,
        which a pooler gives to others.
        """
        if not self.in_atomic_block:
            return self.cursor()
        with self.cursor() as cursor:
            cursor.execute("SELECT 1")  # with what it is told, before the first fetch
        return super().chunked_cursor()
