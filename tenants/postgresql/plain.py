"""How to reach the same database by psycopg alone, where Django's way costs too much."""

from typing import Any

from django.db import connections

CONNECT_TIMEOUT = 5  # seconds
OF_DJANGO = ("context", "cursor_factory", "prepare_threshold")  # how it adapts values


def parameters() -> dict[str, Any]:
    """Return what psycopg.connect takes for the default database."""
    given = connections["default"].get_connection_params()
    ours = {name: value for name, value in given.items() if name not in OF_DJANGO}
    return ours | {"connect_timeout": CONNECT_TIMEOUT}
