"""Secrets at rest: libsodium secretbox under a master key from the environment.

Several master keys may be known; the first in the setting seals. A sealed value
is nonce (24 bytes) || ciphertext, and its row names the key that sealed it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox


class Unsealable(ImproperlyConfigured):
    """The master key that sealed a value is not configured, or is another one."""


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """Where sealed values are; `master_key_id` beside it names what sealed each."""

    model: type[models.Model]
    name: str


sealed_columns: list[SealedColumn] = []

AnyModel = TypeVar("AnyModel", bound=type[models.Model])


def holds_sealed(column: str) -> Callable[[AnyModel], AnyModel]:
    """Have `rotate_master_key` seal this column of a model anew."""

    def register(model: AnyModel) -> AnyModel:
        sealed_columns.append(SealedColumn(model, column))
        return model

    return register


def master_key_in_use() -> str:
    """Return the id of the master key that seals."""
    return next(iter(settings.LUCID_MASTER_KEYS))


def seal(plaintext: bytes) -> tuple[str, bytes]:
    """Return the id of the master key in use, and the sealed bytes."""
    key_id = master_key_in_use()
    box = SecretBox(settings.LUCID_MASTER_KEYS[key_id])
    return key_id, bytes(box.encrypt(plaintext))


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
