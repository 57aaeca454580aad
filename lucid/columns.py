"""PostgreSQL's binary formats: values of a column, one by one and as an array.

A multi-row INSERT from one array for each column is one statement whatever the
number of rows, so it is planned once.
"""

import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

# int32 dimensions (1), int32 has-nulls flag, oid of the elements, int32 number of
# elements, int32 lower bound (1); then for each element int32 length and bytes, the
# length of NULL being -1.
HEADER = struct.Struct("!iiIii")
LENGTH = struct.Struct("!i").pack
INT2 = struct.Struct("!h")
INT4 = struct.Struct("!i")
INT8 = struct.Struct("!q")
NULL = LENGTH(-1)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
FIRST_DAY = EPOCH.date().toordinal()
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Type:
    """A type of PostgreSQL: its name, its oid, and how to write and read a value."""

    sql: str
    oid: int
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    packed: str = ""  # in the language of `struct`, of a type that is one integer

    def array(self, values: Collection[Any]) -> bytes:
        """Return a one-dimensional array of values; None is NULL."""
        if self.packed and None not in values:
            return self._array_of_integers(values)
        count, nulls, parts = 0, 0, [b""]
        for value in values:
            count += 1
            if value is None:
                nulls = 1
                parts.append(NULL)
            else:
                element = self.write(value)
                parts += LENGTH(len(element)), element
        parts[0] = HEADER.pack(1, nulls, self.oid, count, 1)
        return b"".join(parts)

    def _array_of_integers(self, values: Collection[int]) -> bytes:
        """A third of the time: rollups and their records are integers mostly."""
        size = struct.calcsize(f"!{self.packed}")
        flat = [part for value in values for part in (size, value)]
        form = f"!iiIii{f'i{self.packed}' * len(values)}"
        return struct.pack(form, 1, 0, self.oid, len(values), 1, *flat)


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_time(value: datetime) -> bytes:
    return INT8.pack((value - EPOCH) // MICROSECOND)


def _read_time(data: bytes) -> datetime:
    return EPOCH + _read_int(data) * MICROSECOND


def _write_date(value: date) -> bytes:
    return INT4.pack(value.toordinal() - FIRST_DAY)


def _read_date(data: bytes) -> date:
    return date.fromordinal(FIRST_DAY + _read_int(data))


# The binary form of jsonb is a version number and the text.
def _write_json(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _read_json(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])


TEXT = Type("text", 25, str.encode, bytes.decode)
BYTEA = Type("bytea", 17, bytes, bytes)
BIGINT = Type("bigint", 20, INT8.pack, _read_int, "q")
SMALLINT = Type("smallint", 21, INT2.pack, _read_int, "h")
UUID_ = Type("uuid", 2950, lambda value: value.bytes, lambda data: UUID(bytes=data))
TIME = Type("timestamptz", 1184, _write_time, _read_time)
DATE = Type("date", 1082, _write_date, _read_date)
JSON = Type("jsonb", 3802, _write_json, _read_json)
BOOLEAN = Type(
    "boolean",
    16,
    lambda value: b"\x01" if value else b"\0",
    lambda data: data == b"\x01",
)

Columns = dict[str, Type]


def arrays(columns: Columns, rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """Turn rows, or none, into an array for each column."""
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    return [
        kind.array(column)
        for kind, column in zip(columns.values(), values, strict=True)
    ]


def single(columns: Columns, row: tuple[Any, ...]) -> list[bytes | None]:
    """Turn a row into a parameter for each column."""
    return [
        None if value is None else kind.write(value)
        for kind, value in zip(columns.values(), row, strict=True)
    ]
