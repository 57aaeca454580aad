"""How psycopg alone reaches the same database, where Django's way costs too much."""

from typing import Any

from django.db import connections

from lucid import isolation
from lucid.columns import TEXT
from lucid.pipeline import Call, Statement

CONNECT_TIMEOUT = 5  # seconds
OF_DJANGO = ("context", "cursor_factory", "prepare_threshold")  # how it adapts values


def parameters() -> dict[str, Any]:
    """Return what psycopg.connect takes for the default database."""
    given = connections["default"].get_connection_params()
    ours = {name: value for name, value in given.items() if name not in OF_DJANGO}
    return ours | {"connect_timeout": CONNECT_TIMEOUT}


_SET_TENANTS = Statement(
    "set_tenants",
    "SELECT set_config('lucid.tenant', $1::text, true)",
    {"set_config": TEXT},
)


def tenants_call() -> Call:
    """Return what tells the database whom this thread works for (row_security).

    It goes first in a transaction.
    """
    tenants = isolation.as_setting(isolation.current())
    return _SET_TENANTS, [TEXT.write(tenants)]
