"""Salted hashes of what passed through the gateway: SHA-256 over salt || content.

    python -m orchestrations.gateway.content SALT_HEX HASH_HEX < FILE

A receipt carries the hash, and the salt is kept beside the content. Who has both can
show that the receipt is of this content; once the salt is erased nobody can find it by
guessing. The content is the bytes as they were sent or received, before any reading.
Prints MATCHES and exits 0, or DIFFERS and exits 1; 2 is for arguments that are no hex.
"""

import argparse
import hashlib
import secrets
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

SALT_BYTES = 16
HASH_BYTES = 32


def new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


class SaltedHash:
    """The hash of content that comes in pieces; raises ValueError for another salt."""

    def __init__(self, salt: bytes) -> None:
        # With salts of any length, a byte could pass from the content to the salt.
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
        self._digest = hashlib.sha256(salt)

    def update(self, data: "Buffer") -> None:
        self._digest.update(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def hash_file(salt: bytes, file: BinaryIO) -> str:
    salted = SaltedHash(salt)
    while data := file.read(1 << 20):
        salted.update(data)
    return salted.hexdigest()


def _salt(text: str) -> bytes:
    return _from_hex(text, SALT_BYTES)


def _hash(text: str) -> bytes:
    return _from_hex(text, HASH_BYTES)


def _from_hex(text: str, size: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != size:
        raise argparse.ArgumentTypeError(f"{text!r} is not {size} bytes in hex")
    return data


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m orchestrations.gateway.content")
    parser.add_argument("salt", type=_salt, help="32 hex digits")
    parser.add_argument("hash", type=_hash, help="64 hex digits, of the receipt")
    arguments = parser.parse_args(argv)
    matches = hash_file(arguments.salt, sys.stdin.buffer) == arguments.hash.hex()
    print("MATCHES" if matches else "DIFFERS")
    return 0 if matches else 1


if __name__ == "__main__":
    sys.exit(main())
