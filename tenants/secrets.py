"""API key texts and their MACs.

A key is `lk_<mode>_<10 public characters><32 secret characters>`, letters and
digits. The row holds the part before the secret, and an HMAC-SHA256 of the whole
under a pepper that the database does not know.
"""

import hmac
import re
import secrets
import string

from django.conf import settings

ALPHABET = string.digits + string.ascii_letters
PUBLIC_LENGTH = 10
SECRET_LENGTH = 32  # 190 bits
SHAPE = re.compile(
    rf"(lk_(?:live|test)_[0-9A-Za-z]{{{PUBLIC_LENGTH}}})[0-9A-Za-z]{{{SECRET_LENGTH}}}"
)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_api_key(mode: str) -> tuple[str, str]:
    """Return a fresh key's public prefix and its whole text."""
    prefix = f"lk_{mode}_{_random_text(PUBLIC_LENGTH)}"
    return prefix, prefix + _random_text(SECRET_LENGTH)


def prefix_of(text: str) -> str | None:
    """Return the public prefix of a key, None when the text is no key."""
    shape = SHAPE.fullmatch(text)
    return shape and shape[1]


def current_pepper() -> str:
    return next(iter(settings.LUCID_API_KEY_PEPPERS))


def api_key_mac(text: str, pepper_id: str) -> bytes:
    """Return the MAC of a key; an unknown pepper makes one that matches no row."""
    pepper = settings.LUCID_API_KEY_PEPPERS.get(pepper_id, bytes(32))
    return hmac.digest(pepper, text.encode(), "sha256")
