"""Connections that the database has ended, a restart say, while they were idle."""

from django.db import connection


def discard_dead() -> None:
    """Drop this thread's connection, and every dead one in the process's pool.

    The pool would find them one by one, and wait longer after each.
    """
    connection.close()
    if pool := getattr(connection, "pool", None):
        pool.check()
