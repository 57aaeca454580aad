"""UUID version 7 (RFC 9562 section 5.7), which the standard library has from 3.14."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def uuid7() -> UUID:
    """Return a fresh UUID: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return UUID(int=value)


def time_of(identifier: UUID) -> datetime | None:
    """Return the millisecond in which a UUIDv7 was made; None of any other UUID."""
    if identifier.version != 7:
        return None
    try:
        return EPOCH + timedelta(milliseconds=identifier.int >> 80)
    except OverflowError:  # after the year 9999
        return None


def earliest(seconds: float) -> UUID:
    """Return the least UUID of that time: for keys that are ordered by time."""
    return UUID(int=int(seconds * 1000) << 80)
