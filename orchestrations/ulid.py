"""ULIDs: 48 bits of time and 80 random ones, in text that sorts by time."""

import secrets
import time

# Crockford's base 32: no I, L, O or U.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26


def new_ulid() -> str:
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(
        ALPHABET[value >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5)
    )
