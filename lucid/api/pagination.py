"""Keyset pages: `limit` and an opaque `cursor`, never a count (WIRE section 1)."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec

from lucid.api.errors import ApiError, invalid

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
    return _encode(b"c%d" % position)


def decode_cursor(cursor: str) -> int:
    """Return the position that `encode_cursor` was given; 400 for anything else."""
    try:
        position = int(_decode(cursor).removeprefix("c"))
    except ValueError:
        position = -1
    if position < 0 or position >= 1 << 63 or encode_cursor(position) != cursor:
        raise _no_cursor()
    return position


def encode_pair(first: int, second: int) -> str:
    """Return the cursor of a list that two numbers order."""
    return _encode(b"p%d.%d" % (first, second))


def decode_pair(cursor: str) -> tuple[int, int]:
    """Return what `encode_pair` was given; 400 for anything else."""
    try:
        first, second = map(int, _decode(cursor).removeprefix("p").split("."))
    except ValueError:
        raise _no_cursor() from None
    is_ours = encode_pair(first, second) == cursor
    if not is_ours or not 0 <= min(first, second) <= max(first, second) < 1 << 63:
        raise _no_cursor()
    return first, second


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
        raise _no_cursor()
    return moment, identifier


def encode_id_cursor(row_id: UUID) -> str:
    """Return the cursor of the rows after one, in a list that ids of UUIDv7 order."""
    return _encode(b"u%s" % row_id.hex.encode())


def decode_id_cursor(cursor: str) -> UUID:
    """Return the id that `encode_id_cursor` was given; 400 for anything else."""
    try:
        row_id = UUID(hex=_decode(cursor).removeprefix("u"))
    except ValueError:
        raise _no_cursor() from None
    if encode_id_cursor(row_id) != cursor:
        raise _no_cursor()
    return row_id


def _encode(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _decode(cursor: str) -> str:
    """Return the text of a cursor; ValueError where it can be none."""
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()


def _no_cursor() -> ApiError:
    return invalid({"cursor": ["Not a cursor of this list."]})
