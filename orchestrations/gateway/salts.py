"""The salts of what a call's hashes are of, and where they are kept: sealed, apart."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from orchestrations.gateway.content import SALT_BYTES, SaltedHash, new_salt
from orchestrations.models import ContentSalts
from receipts.sealing import seal, unseal


@dataclass(frozen=True, slots=True)
class Salts:
    input: bytes
    output: bytes

    @classmethod
    def fresh(cls) -> "Salts":
        return cls(new_salt(), new_salt())

    @classmethod
    def of(cls, row: ContentSalts) -> "Salts":
        plain = unseal(row.master_key_id, bytes(row.sealed))
        return cls(plain[:SALT_BYTES], plain[SALT_BYTES:])

    def row(self, receipt_id: UUID, tenant_id: UUID) -> dict[str, Any]:
        """Return the row of `orchestrations.models.ContentSalts`."""
        master_key_id, sealed = seal(self.input + self.output)
        return {
            "receipt_id": receipt_id,
            "tenant_id": tenant_id,
            "sealed": sealed,
            "master_key_id": master_key_id,
        }

    def hash_input(self, data: bytes) -> str:
        digest = SaltedHash(self.input)
        digest.update(data)
        return digest.hexdigest()
