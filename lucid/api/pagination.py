"""Keyset pages: `limit` and an opaque `cursor`, never a count (WIRE section 1)."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec

from lucid.api.errors import invalid

DEFAULT_LIMIT = 50
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]


class Page(msgspec.Struct, frozen=True):
    """The query of a list that has no filters."""

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None


def cut(rows: Any, limit: int) -> tuple[list[Any], bool]:
    """Return the first `limit` of a query's rows, and whether there are more."""
    page = list(rows[: limit + 1])
    return page[:limit], len(page) > limit


def encode_cursor(position: int) -> str:
    """Return the cursor of the rows that come after `position`, newest first."""
    return base64.urlsafe_b64encode(b"c%d" % position).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the position that `encode_cursor` was given; 400 for anything else."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        position = int(text.removeprefix("c"))
    except (binascii.Error, ValueError):
        position = -1
    if position < 0 or position >= 1 << 63 or encode_cursor(position) != cursor:
        raise invalid({"cursor": ["Not a cursor of this list."]})
    return position


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def encode_place(moment: datetime, identifier: UUID) -> str:
    """Return the cursor of a list by time; the id tells rows of one moment apart."""
    place = (moment - EPOCH) // MICROSECOND << 128 | identifier.int
    return base64.urlsafe_b64encode(place.to_bytes(24)).decode()


def decode_place(cursor: str) -> tuple[datetime, UUID]:
    """Return what `encode_place` was given; 400 for anything else."""
    try:
        place = int.from_bytes(base64.b64decode(cursor, b"-_", validate=True))
        moment = EPOCH + (place >> 128) * MICROSECOND
        identifier = UUID(int=place & (1 << 128) - 1)
        is_ours = encode_place(moment, identifier) == cursor
    except (ValueError, OverflowError):
        is_ours = False
    if not is_ours:
        raise invalid({"cursor": ["Not a cursor of this list."]})
    return moment, identifier
