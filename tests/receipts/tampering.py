"""An operator with the database's password: changes that the triggers refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, models, transaction

from receipts import canonical
from receipts.models import Log, Receipt
from tests.caller import Caller


@contextmanager
def unguarded(model: type[models.Model]) -> Iterator[None]:
    """Take the triggers off a model's table, and put them back."""
    remove = _disable if connection.vendor == "postgresql" else _drop
    with transaction.atomic(), connection.cursor() as cursor:
        put_back = remove(cursor, model._meta.db_table)
        yield
        for statement in put_back:
            cursor.execute(statement)


def _disable(cursor: Any, table: str) -> list[str]:
    cursor.execute("SET LOCAL ROLE NONE")
    cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    return [f"ALTER TABLE {table} ENABLE TRIGGER USER"]


def _drop(cursor: Any, table: str) -> list[str]:
    """SQLite cannot disable a trigger; it keeps the text that made it."""
    cursor.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s",
        [table],
    )
    triggers = cursor.fetchall()
    for name, _ in triggers:
        cursor.execute(f"DROP TRIGGER {name}")
    return [statement for _, statement in triggers]


def log_row(caller: Caller) -> Log:
    return Log.objects.get(tenant=caller.tenant, mode=caller.key.mode)


def receipt_row(caller: Caller, index: int) -> Receipt:
    return Receipt.objects.get(log=log_row(caller), leaf_index=index)


def change_receipt(caller: Caller, index: int, **columns: Any) -> None:
    with unguarded(Receipt):
        rows = Receipt.objects.filter(log=log_row(caller), leaf_index=index)
        assert rows.update(**columns) == 1


def change_entry(caller: Caller, index: int, **members: Any) -> None:
    """Rewrite members of a stored entry, canonically; None takes a member out."""
    entry = receipt_row(caller, index).as_json()
    for extra in ("receipt_id", "_mmr_leaf_index", "anchor"):
        del entry[extra]
    changed = {n: v for n, v in (entry | members).items() if v is not None}
    change_receipt(caller, index, entry=canonical.dumps(changed))


def change_log(caller: Caller, **columns: Any) -> None:
    with unguarded(Log):
        assert Log.objects.filter(pk=log_row(caller).pk).update(**columns) == 1
