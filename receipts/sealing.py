"""Secrets at rest: libsodium secretbox under a master key from the environment.

Several master keys may be known; the first in the setting seals. A sealed value
is nonce (24 bytes) || ciphertext, and its row names the key that sealed it.
"""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox


class Unsealable(ImproperlyConfigured):
    """The master key that sealed a value is not configured, or is another one."""


def seal(plaintext: bytes) -> tuple[str, bytes]:
    """Return the id of the master key in use, and the sealed bytes."""
    key_id, key = next(iter(settings.LUCID_MASTER_KEYS.items()))
    return key_id, bytes(SecretBox(key).encrypt(plaintext))


def unseal(key_id: str, sealed: bytes) -> bytes:
    """Return the plaintext; raises Unsealable, never garbage."""
    key = settings.LUCID_MASTER_KEYS.get(key_id)
    if key is None:
        raise Unsealable(f"LUCID_MASTER_KEYS has no key {key_id!r}, which sealed this.")
    try:
        return SecretBox(key).decrypt(sealed)
    except CryptoError as error:
        raise Unsealable(
            f"Master key {key_id!r} is not the one that sealed this."
        ) from error
