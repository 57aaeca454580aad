"""The signing keys in force for a log, unsealed in this process's memory.

A log comes to be when its first signature is needed: with two fresh keys, and a
checkpoint of the empty tree. Each worker remembers keyrings; a remembered one is
right for as long as the tenant's `keyring_version` is the one it was read at,
which the ledger compares inside its transaction.
"""

import time
from dataclasses import dataclass, replace
from uuid import UUID

from django.conf import settings
from django.db import transaction

from receipts import base58, note
from receipts.checkpoint import Checkpoint
from receipts.ed25519 import Signer, generate_seed, thumbprint
from receipts.merkle import EMPTY_ROOT
from receipts.models import Log, SigningKey
from receipts.sealing import seal
from tenants.models import Mode, Tenant

MEMORY_LIMIT = 10_000  # keyrings; some 10 MB

Purpose = SigningKey.Purpose
Status = SigningKey.Status


@dataclass(frozen=True, slots=True)
class Keyring:
    tenant_id: UUID
    log_id: int
    origin: str
    version: int
    receipt_signer: Signer
    receipt_kid: str
    receipt_public_key: str  # base58, as receipts carry it
    checkpoint_signer: Signer
    # Checkpoint keys that sign beside it, each until a Unix time.
    retiring: tuple[tuple[Signer, float], ...] = ()

    def sign_checkpoint(self, size: int, root: bytes) -> str:
        """Return the signed note of a head of this log (C2SP tlog-checkpoint)."""
        return self.sign_note(Checkpoint(self.origin, size, root).text())

    def sign_note(self, text: str) -> str:
        lines = [
            note.sign(text, self.origin, signer) for signer in self.checkpoint_signers()
        ]
        return note.assemble(text, lines)

    def checkpoint_signers(self) -> list[Signer]:
        """Return what signs notes now: the key in use, then those it takes over from.

        Time is looked at here, as a keyring may be remembered for longer.
        """
        if not self.retiring:
            return [self.checkpoint_signer]
        now = time.time()
        overlapping = [signer for signer, until in self.retiring if now < until]
        return [self.checkpoint_signer, *overlapping]

    def with_receipt_signer(self, signer: Signer) -> "Keyring":
        return replace(
            self,
            receipt_signer=signer,
            receipt_kid=thumbprint(signer.public_key),
            receipt_public_key=base58.encode(signer.public_key),
        )

    def overlapping(self, signer: Signer, until: float) -> "Keyring":
        """Return a keyring that signs notes with both, with its own until that time."""
        retiring = ((self.checkpoint_signer, until), *self.retiring)
        return replace(self, checkpoint_signer=signer, retiring=retiring)

    @property
    def vkey(self) -> str:
        return str(note.VerifierKey.of(self.origin, self.checkpoint_signer.public_key))

    @property
    def vkeys(self) -> list[str]:
        """The keys that have signed every note from now on, the newest first."""
        return [
            str(note.VerifierKey.of(self.origin, signer.public_key))
            for signer in self.checkpoint_signers()
        ]


_memory: dict[tuple[UUID, str], Keyring] = {}


def keyring_for(tenant_id: UUID, mode: str, version: int | None = None) -> Keyring:
    """Return the keyring of a log, opening the log if it is new.

    With the `version` that the caller was authenticated at, memory will do when it
    holds that one; without, the database is asked.
    """
    remembered = _memory.get((tenant_id, mode))
    if remembered and remembered.version == version:
        return remembered
    keyring = _load(tenant_id, mode)
    if len(_memory) >= MEMORY_LIMIT:
        _memory.clear()
    _memory[tenant_id, mode] = keyring
    return keyring


def _load(tenant_id: UUID, mode: str) -> Keyring:
    # The version is read before the keys: should they change in between, the
    # keyring is newer than it says, and the ledger has it read once more.
    version = Tenant.objects.values_list("keyring_version", flat=True).get(pk=tenant_id)
    log = log_of(tenant_id, mode)
    keys = SigningKey.objects.filter(
        tenant_id=tenant_id, mode=mode, status__in=[Status.ACTIVE, Status.RETIRING]
    )
    signing = list(keys.order_by("-pk"))
    signers = {
        key.purpose: key.signer() for key in signing if key.status == Status.ACTIVE
    }
    receipt_signer = signers[Purpose.RECEIPT]
    return Keyring(
        tenant_id=tenant_id,
        log_id=log.pk,
        origin=log.origin,
        version=version,
        receipt_signer=receipt_signer,
        receipt_kid=thumbprint(receipt_signer.public_key),
        receipt_public_key=base58.encode(receipt_signer.public_key),
        checkpoint_signer=signers[Purpose.CHECKPOINT],
        retiring=tuple(
            (key.signer(), key.overlap_until.timestamp())
            for key in signing
            if key.overlap_until
        ),
    )


def log_of(tenant_id: UUID, mode: str) -> Log:
    """Return the tenant's log in a mode as it is now, opening it if it is new."""
    log = Log.objects.filter(tenant_id=tenant_id, mode=mode).first()
    return log or open_log(tenant_id, mode)


@transaction.atomic
def open_log(tenant_id: UUID, mode: str) -> Log:
    """Return the tenant's log in a mode, made with its keys if there was none."""
    # The lock makes two first receipts agree on one log.
    tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
    if log := Log.objects.filter(tenant=tenant, mode=mode).first():
        return log
    origin = _origin(tenant.slug, mode)
    create_key(tenant_id, mode, Purpose.RECEIPT)
    signer = create_key(tenant_id, mode, Purpose.CHECKPOINT)
    text = Checkpoint(origin, 0, EMPTY_ROOT).text()
    checkpoint = note.assemble(text, [note.sign(text, origin, signer)])
    return Log.objects.create(
        tenant=tenant, mode=mode, origin=origin, root=EMPTY_ROOT, checkpoint=checkpoint
    )


def create_key(tenant_id: UUID, mode: str, purpose: str) -> Signer:
    """Make a key pair and store it, its seed sealed under the first master key."""
    key, signer = new_key(tenant_id, mode, purpose)
    key.save(force_insert=True)
    return signer


def new_key(tenant_id: UUID, mode: str, purpose: str) -> tuple[SigningKey, Signer]:
    """Make a key pair; the row is the caller's to save."""
    kid = "-"
    while kid.startswith("-"):  # which a shell's command would take for an option
        seed = generate_seed()
        signer = Signer(seed)
        kid = thumbprint(signer.public_key)
    master_key_id, sealed = seal(seed)
    key = SigningKey(
        tenant_id=tenant_id,
        mode=mode,
        purpose=purpose,
        kid=kid,
        public_key=signer.public_key,
        sealed_seed=sealed,
        master_key_id=master_key_id,
    )
    return key, signer


def _origin(slug: str, mode: str) -> str:
    path = f"{settings.LUCID_ORIGIN}/log/{slug}"
    return path if mode == Mode.LIVE else f"{path}/{mode}"
