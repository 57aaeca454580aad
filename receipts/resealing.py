"""Sealing everything anew under the first master key, on a running system.

In batches, each committed, in the order of primary keys. A row is changed only while
it is as it was read: what somebody writes meanwhile stays, and is looked at in the
next round. So the work may end anywhere and be begun again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction

from lucid.isolation import across_tenants
from receipts.sealing import (
    SealedColumn,
    Unsealable,
    master_key_in_use,
    seal,
    sealed_columns,
    unseal,
)
from tenants import events
from tenants.events import Actor

BATCH = 200  # rows, some 100 ms
ROUNDS = 5  # over a table whose rows others seal under an older key meanwhile


@dataclass
class Resealed:
    """What was done: rows by table, and by master key those that nobody can unseal."""

    master_key_id: str
    rows: dict[str, int] = field(default_factory=dict)
    unsealable: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)  # rows by master key, after

    def retirable(self, known: list[str]) -> list[str]:
        """Return the known master keys that no row needs any more."""
        others = [name for name in known if name != self.master_key_id]
        return [name for name in others if not self.used.get(name)]


def count_outdated() -> int:
    with across_tenants():
        return sum(_outdated(column).count() for column in sealed_columns)


def reseal(actor: Actor, advance: Callable[[int], Any]) -> Resealed:
    """Seal what is under other master keys under the first; `advance` hears of rows.

    Rows whose master key is not configured are counted and left as they are.
    """
    with across_tenants():
        return _reseal(actor, advance)


def _reseal(actor: Actor, advance: Callable[[int], Any]) -> Resealed:
    done = Resealed(master_key_in_use())
    for column in sealed_columns:
        table = column.model._meta.db_table
        done.rows[table] = 0
        for _ in range(ROUNDS):
            missed = 0
            unsealable: dict[str, int] = {}
            for batch in _batches(column):
                changed = _reseal_batch(column, batch, unsealable, actor, done)
                done.rows[table] += changed
                missed += len(batch) - changed
                advance(changed)
            if missed == sum(unsealable.values()):
                break
        for name, count in unsealable.items():
            done.unsealable[name] = done.unsealable.get(name, 0) + count
    done.used = _used()
    if any(done.rows.values()):
        _record(actor, "master_key.rotated", done)
    return done


def _batches(column: SealedColumn) -> Iterator[list[Any]]:
    rows = _outdated(column).order_by("pk").only("pk", "master_key_id", column.name)
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH])


def _outdated(column: SealedColumn) -> models.QuerySet[Any]:
    rows = column.model._default_manager.all()
    return rows.exclude(master_key_id=master_key_in_use())


@transaction.atomic
def _reseal_batch(
    column: SealedColumn,
    batch: list[Any],
    unsealable: dict[str, int],
    actor: Actor,
    done: Resealed,
) -> int:
    changed = 0
    for row in batch:
        try:
            changed += _reseal_row(column, row)
        except Unsealable:
            name = row.master_key_id
            unsealable[name] = unsealable.get(name, 0) + 1
    if changed and not any(done.rows.values()):
        _record(actor, "master_key.rotation_began", done)
    return changed


def _reseal_row(column: SealedColumn, row: Any) -> int:
    sealed = getattr(row, column.name)
    master_key_id, resealed = seal(unseal(row.master_key_id, bytes(sealed)))
    as_read = {"master_key_id": row.master_key_id, column.name: sealed}
    same = column.model._default_manager.filter(pk=row.pk, **as_read)
    return same.update(**{"master_key_id": master_key_id, column.name: resealed})


def _used() -> dict[str, int]:
    used: dict[str, int] = {}
    for column in sealed_columns:
        rows = column.model._default_manager.order_by().values_list("master_key_id")
        for name, count in rows.annotate(count=models.Count("pk")):
            used[name] = used.get(name, 0) + count
    return used


def _record(actor: Actor, action: str, done: Resealed) -> None:
    events.record(
        actor,
        action,
        tenant_id=None,
        kind="master_key",
        object_id=done.master_key_id,
        after={"rows": dict(done.rows)},
    )
