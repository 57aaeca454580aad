"""Columns of rows as PostgreSQL arrays, in the binary format of libpq.

A multi-row INSERT from one array a column is one statement whatever the number of
rows, so it is planned once. psycopg would write each element through a Python
dumper, at ten times the cost of the joins below.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import adapters
from psycopg.adapt import Dumper
from psycopg.pq import Format

# int32 dimensions (1), int32 has-nulls flag (0), oid of the element, int32 length
# of the dimension, int32 lower bound (1); then int32 length and bytes, each.
HEADER = struct.Struct("!iiIii")
LENGTH = struct.Struct("!i").pack
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Array:
    """One column's values; `data` is the binary value of the array type `oid`."""

    sql: str
    oid: int
    element_oid: int

    def __init__(self, values: Iterable[Any]) -> None:
        elements = self.encode(values)
        head = HEADER.pack(1, 0, self.element_oid, len(elements), 1)
        lengths = map(LENGTH, map(len, elements))
        self.data = head + b"".join(
            part for pair in zip(lengths, elements, strict=True) for part in pair
        )

    def encode(self, values: Iterable[Any]) -> list[bytes]:
        raise NotImplementedError


class Texts(Array):
    sql, oid, element_oid = "text", 1009, 25

    def encode(self, values: Iterable[str]) -> list[bytes]:
        return [value.encode() for value in values]


class Blobs(Array):
    sql, oid, element_oid = "bytea", 1001, 17

    def encode(self, values: Iterable[bytes]) -> list[bytes]:
        return list(values)


class Bigints(Array):
    sql, oid, element_oid = "bigint", 1016, 20

    def encode(self, values: Iterable[int]) -> list[bytes]:
        return [value.to_bytes(8, "big", signed=True) for value in values]


class Smallints(Array):
    sql, oid, element_oid = "smallint", 1005, 21

    def encode(self, values: Iterable[int]) -> list[bytes]:
        return [value.to_bytes(2, "big", signed=True) for value in values]


class Uuids(Array):
    sql, oid, element_oid = "uuid", 2951, 2950

    def encode(self, values: Iterable[UUID]) -> list[bytes]:
        return [value.bytes for value in values]


class Times(Array):
    sql, oid, element_oid = "timestamptz", 1185, 1184

    def encode(self, values: Iterable[datetime]) -> list[bytes]:
        microsecond = timedelta(microseconds=1)
        return [
            ((value - POSTGRES_EPOCH) // microsecond).to_bytes(8, "big", signed=True)
            for value in values
        ]


def _register(kind: type[Array]) -> None:
    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = kind.oid

        def dump(self, value: Array) -> bytes:
            return value.data

    adapters.register_dumper(kind, ArrayDumper)


for _kind in (Texts, Blobs, Bigints, Smallints, Uuids, Times):
    _register(_kind)
