"""ULIDs: 48 bits of time and 80 random ones, in text that sorts by time."""

import secrets
import time

# Crockford's base 32: no I, L, O or U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26


TIMES = 1 << 48  # milliseconds since 1970


def new_ulid() -> str:
    return _written(time.time_ns() // 1_000_000 << 80 | secrets.randbits(80))


def earliest(seconds: float) -> str:
    """Return the least ULID of that time: for keys that are ordered by time."""
    return _written(min(max(int(seconds * 1000), 0), TIMES - 1) << 80)


def _written(value: int) -> str:
    return "".join(
        ALPHABET[value >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5)
    )
