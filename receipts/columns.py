"""PostgreSQL's binary formats: values of a column, one by one and as an array.

A multi-row INSERT from one array for each column is one statement whatever the
number of rows, so it is planned once.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

# int32 dimensions (1), int32 has-nulls flag (0), oid of the elements, int32 number
# of elements, int32 lower bound (1); then for each element int32 length and bytes.
HEADER = struct.Struct("!iiIii")
LENGTH = struct.Struct("!i").pack
INT2 = struct.Struct("!h")
INT8 = struct.Struct("!q")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Type:
    """A type of PostgreSQL: its name, its oid, and how to write and read a value."""

    sql: str
    oid: int
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]

    def array(self, values: Iterable[Any]) -> bytes:
        """Return a one-dimensional array of values, none of them NULL."""
        elements = [self.write(value) for value in values]
        parts = [HEADER.pack(1, 0, self.oid, len(elements), 1)]
        for element in elements:
            parts += LENGTH(len(element)), element
        return b"".join(parts)


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_time(value: datetime) -> bytes:
    return INT8.pack((value - EPOCH) // MICROSECOND)


def _read_time(data: bytes) -> datetime:
    return EPOCH + _read_int(data) * MICROSECOND


TEXT = Type("text", 25, str.encode, bytes.decode)
BYTEA = Type("bytea", 17, bytes, bytes)
BIGINT = Type("bigint", 20, INT8.pack, _read_int)
SMALLINT = Type("smallint", 21, INT2.pack, _read_int)
UUID_ = Type("uuid", 2950, lambda value: value.bytes, lambda data: UUID(bytes=data))
TIME = Type("timestamptz", 1184, _write_time, _read_time)

Columns = dict[str, Type]


def arrays(columns: Columns, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """Turn rows, or none, into an array for each column."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return [
        kind.array(column)
        for kind, column in zip(columns.values(), values, strict=True)
    ]


def single(columns: Columns, row: tuple[Any, ...]) -> list[bytes]:
    """Turn a row into a parameter for each column."""
    return [
        kind.write(value) for kind, value in zip(columns.values(), row, strict=True)
    ]
