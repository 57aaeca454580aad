"""Base58 with Bitcoin's alphabet: how receipts spell a public key."""

from __future__ import annotations

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {char: value for value, char in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    """Write bytes as one number; each leading zero byte is a leading "1"."""
    number = int.from_bytes(data, "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = ALPHABET[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + digits


def decode(text: str) -> bytes:
    """Read what encode wrote; ValueError for a character outside the alphabet."""
    number = 0
    for char in text:
        if char not in _VALUES:
            raise ValueError(f"{char!r} is not a base58 character")
        number = number * 58 + _VALUES[char]
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes(len(text) - len(text.lstrip("1"))) + digits
