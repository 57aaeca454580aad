"""Connections to the database: those it has ended while idle, and those to share."""

from django.db import connection


def give_back() -> None:
    """Let others have this thread's connection, while a client takes its time to read.

    Whoever streams rows does so after each chunk: as many slow downloads as the pool
    has connections would else keep everybody from the database.
    """
    if not connection.in_atomic_block:
        connection.close()


def discard_dead() -> None:
    """Drop this thread's connection, and every dead one in the process's pool.

    The pool would find them one by one, and wait longer after each.
    """
    connection.close()
    if pool := getattr(connection, "pool", None):
        pool.check()
