"""Rows that the ledger's transaction reads and writes, said once for both engines.

PostgreSQL gets prepared statements with an array for each column, so that there is
one statement, planned once, whatever the number of rows; a lone row goes as plain
parameters, which is cheaper. SQLite gets the same statement row by row.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from lucid.columns import (
    BIGINT,
    DATE,
    JSON,
    SMALLINT,
    TIME,
    UUID_,
    Columns,
    Type,
    arrays,
    single,
)
from lucid.pipeline import Call, Statement

Row = tuple[Any, ...]


def unnest(columns: Columns, before: int = 0) -> str:
    """Return the arrays of columns as parameters, numbered from those before on."""
    places = enumerate(columns.values(), start=before + 1)
    return f"unnest({', '.join(f'${place}::{kind.sql}[]' for place, kind in places)})"


def one_row(columns: Columns, before: int = 0) -> str:
    """Return a row as parameters."""
    places = enumerate(columns.values(), start=before + 1)
    return f"(SELECT {', '.join(f'${place}::{kind.sql}' for place, kind in places)})"


def names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


@dataclass(frozen=True, eq=False)
class Find:
    """Rows whose key is among those asked for, each once; `columns` of them.

    With `sums`, rows are put together that agree in `columns`, which the sums of
    these integer columns then follow; with `counts`, how many rows they were.
    """

    table: str
    key: Columns
    columns: Columns
    sums: tuple[str, ...] = ()
    where: str = "TRUE"  # of `t`: what a partial index asks for
    counts: bool = False

    @cached_property
    def statement(self) -> Statement:
        sql = (
            f"SELECT {self._answers} FROM {unnest(self.key)} AS q({names(self.key)})"  # noqa: S608  constants
            f" JOIN {self.table} t USING ({names(self.key)})"
            f" WHERE {self.where} {self._grouped}"
        )
        answers = self.columns | {f"sum_{name}": BIGINT for name in self.sums}
        if self.counts:
            answers |= {"count": BIGINT}
        return Statement(f"find_{self.table}_{'_'.join(self.key)}", sql, answers)

    @property
    def _answers(self) -> str:
        sums = [f'CAST(COALESCE(SUM(t."{name}"), 0) AS bigint)' for name in self.sums]
        counts = ["COUNT(*)"] if self.counts else []
        return ", ".join([*(f't."{name}"' for name in self.columns), *sums, *counts])

    @property
    def _grouped(self) -> str:
        if not self.sums:
            return ""
        return "GROUP BY " + ", ".join(f't."{name}"' for name in self.columns)

    def call(self, keys: Sequence[Row]) -> Call:
        return self.statement, arrays(self.key, keys)

    def portably(self, keys: Sequence[Row]) -> list[Row]:
        if not keys:
            return []
        place = f"({', '.join(['%s'] * len(self.key))})"
        sql = (
            f"SELECT {self._answers} FROM {self.table} t"  # noqa: S608  constants
            f" WHERE ({names(self.key)}) IN (VALUES {', '.join([place] * len(keys))})"
            f" AND {self.where} {self._grouped}"
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, [v for key in keys for v in _adapted(self.key, key)])
            count = len(self.columns)
            return [
                (*_read(self.columns, row[:count]), *row[count:])
                for row in cursor.fetchall()
            ]


@dataclass(frozen=True, eq=False)
class Write:
    """A statement that takes rows of `columns`; `sql` is around where they stand."""

    name: str
    columns: Columns
    sql: Callable[[str], str]  # from a source of rows, an item of FROM
    sql_portable: str  # with a %s for each column

    @cached_property
    def _many(self) -> Statement:
        return Statement(self.name, self.sql(unnest(self.columns)), {})

    @cached_property
    def _one(self) -> Statement:
        return Statement(f"{self.name}_one", self.sql(one_row(self.columns)), {})

    def call(self, rows: Sequence[Row]) -> Call:
        if len(rows) == 1:
            return self._one, single(self.columns, rows[0])
        return self._many, arrays(self.columns, rows)

    def portably(self, rows: Sequence[Row]) -> None:
        with connection.cursor() as cursor:
            adapted = [_adapted(self.columns, row) for row in rows]
            cursor.executemany(self.sql_portable, adapted)


def insert(table: str, columns: Columns) -> Write:
    start = f"INSERT INTO {table} ({names(columns)})"
    return Write(
        f"insert_{table}",
        columns,
        lambda source: f"{start} SELECT * FROM {source} AS new",  # noqa: S608  constants
        f"{start} VALUES ({', '.join(['%s'] * len(columns))})",
    )


def add(table: str, key: Columns, sums: Columns) -> Write:
    """Add to the sums of the row with that key, or begin it. No key twice at once."""
    columns = key | sums
    start = f"INSERT INTO {table} ({names(columns)})"
    added = ", ".join(
        f'"{name}" = {table}."{name}" + excluded."{name}"' for name in sums
    )
    end = f"ON CONFLICT ({names(key)}) DO UPDATE SET {added}"
    # SQLite makes a float of a sum beyond 64 bits; NULL it refuses.
    whole = ", ".join(
        f'"{name}" = CASE typeof({table}."{name}" + excluded."{name}")'
        f' WHEN \'integer\' THEN {table}."{name}" + excluded."{name}" END'
        for name in sums
    )
    portable_end = f"ON CONFLICT ({names(key)}) DO UPDATE SET {whole}"
    return Write(
        f"add_{table}",
        columns,
        lambda source: f"{start} SELECT * FROM {source} AS new {end}",  # noqa: S608  constants
        f"{start} VALUES ({', '.join(['%s'] * len(columns))}) {portable_end}",
    )


def delete(table: str, key: Columns) -> Write:
    """Delete the rows with that key, where there are such."""
    joined = " AND ".join(f'{table}."{column}" = gone."{column}"' for column in key)
    found = " AND ".join(f'"{column}" = %s' for column in key)
    return Write(
        f"delete_{table}",
        key,
        lambda source: (
            f"DELETE FROM {table} USING {source} AS gone({names(key)})"  # noqa: S608  constants
            f" WHERE {joined}"
        ),
        f"DELETE FROM {table} WHERE {found}",  # noqa: S608  constants
    )


def change(name: str, table: str, columns: Columns, key: Columns) -> Write:
    """Set columns of the row with that key; the key comes last in a row."""
    assigned = ", ".join(f'"{column}" = new."{column}"' for column in columns)
    places = ", ".join(f'"{column}" = %s' for column in columns)
    all_of = columns | key
    joined = " AND ".join(f'{table}."{column}" = new."{column}"' for column in key)
    found = " AND ".join(f'"{column}" = %s' for column in key)
    return Write(
        name,
        all_of,
        lambda source: (
            f"UPDATE {table} SET {assigned} FROM {source} AS new({names(all_of)})"  # noqa: S608  constants
            f" WHERE {joined}"
        ),
        f"UPDATE {table} SET {places} WHERE {found}",  # noqa: S608  constants
    )


def change_expected(
    name: str, table: str, columns: Columns, key: Columns, expected: Columns
) -> Write:
    """As `change`, of rows that are as expected, or else nothing at all.

    What is expected of the columns comes last in a row. One row that is otherwise
    fails the transaction with a division by zero: it is how a statement among others
    in one round trip can stop those that follow.
    """
    as_expected = {f"expected_{column}": kind for column, kind in expected.items()}
    all_of = columns | key | as_expected
    assigned = ", ".join(f'"{column}" = new."{column}"' for column in columns)
    conditions = [
        *(f'{table}."{column}" = new."{column}"' for column in key),
        *(f'{table}."{column}" = new."expected_{column}"' for column in expected),
    ]
    return Write(
        name,
        all_of,
        lambda source: (
            f"WITH changed AS (UPDATE {table} SET {assigned}"  # noqa: S608  constants
            f" FROM {source} AS new({names(all_of)})"
            f" WHERE {' AND '.join(conditions)} RETURNING 1)"
            " SELECT 1 / ((SELECT count(*) FROM changed)"
            f" = (SELECT count(*) FROM {source} AS wanted))::int"
        ),
        "",  # only PostgreSQL writes several statements in a round trip
    )


# How Django keeps in SQLite what SQLite has no type for. It would also take text for
# an integer.
_ADAPT: dict[Type, Callable[[Any], Any]] = {
    BIGINT: operator.index,
    SMALLINT: operator.index,
    UUID_: lambda value: value.hex,
    TIME: lambda value: connection.ops.adapt_datetimefield_value(value),
    DATE: lambda value: value.isoformat(),
    JSON: lambda value: msgspec.json.encode(value).decode(),
}
# Django's connection reads dates and times by itself, the latter without their zone.
_RESTORE: dict[Type, Callable[[Any], Any]] = {
    UUID_: lambda text: UUID(text),
    TIME: lambda value: value.replace(tzinfo=UTC),
    JSON: lambda text: msgspec.json.decode(text),
}


def _adapted(columns: Columns, row: Row) -> list[Any]:
    return [
        _ADAPT[kind](value) if value is not None and kind in _ADAPT else value
        for kind, value in zip(columns.values(), row, strict=True)
    ]


def _read(columns: Columns, row: Row) -> Row:
    return tuple(
        _RESTORE[kind](value) if value is not None and kind in _RESTORE else value
        for kind, value in zip(columns.values(), row, strict=True)
    )
