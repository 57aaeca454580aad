"""Evidence that verifies offline: receipts of one log, packed with their proofs."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse

from lucid.api.connections import give_back
from lucid.isolation import working_for
from receipts import key_set
from receipts.bundle import About, Leaf, SignedHead, pack
from receipts.key_publication import jwks
from receipts.keyring import Keyring, keyring_for, log_of
from receipts.ledger import LedgerUnavailable
from receipts.models import Log, Receipt
from receipts.reader import LogReader
from tenants import events
from tenants.events import Actor
from tenants.models import Mode, Tenant

# Of receipts read at once: two queries, and some 2 MB.
CHUNK = 500

# Of receipts in a bundle. Each is two files of the zip, of which more than 65,535 are
# more than every program can read; and whoever makes and whoever checks a zip holds its
# list of files in memory.
MAX_RECEIPTS = 10_000

ATTEMPTS = 10  # at reading a head, while keys change


ZIP = "application/zip"
EXPORTED = "evidence.exported"


def made_by(actor: Actor, filters: dict[str, Any]) -> About:
    """Return what a manifest says of an export that begins now."""
    return About(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", actor.name, filters)


def head_of(tenant_id: UUID, mode: str) -> tuple[Log, SignedHead]:
    """Return a log as it is now, with its keys and what they sign.

    Raises LedgerUnavailable where keys change faster than they can be read.
    """
    for _ in range(ATTEMPTS):
        keyring = keyring_for(tenant_id, mode)
        log = log_of(tenant_id, mode)
        keys = jwks(tenant_id, mode)
        # All three are of one moment when no key has changed meanwhile.
        versions = Tenant.objects.filter(pk=tenant_id)
        if versions.values_list("keyring_version", flat=True)[0] == keyring.version:
            return log, _signed(log, keyring, keys)
    raise LedgerUnavailable


def _signed(log: Log, keyring: Keyring, keys: dict[str, Any]) -> SignedHead:
    (receipt_keys,) = key_set.from_jwks(keys)
    as_of_size = replace(receipt_keys, size=log.size, revoked_log_keys=())
    return SignedHead(
        origin=log.origin,
        size=log.size,
        root=bytes(log.root).hex(),
        checkpoint=log.checkpoint,
        key_set=keyring.sign_note(as_of_size.text()),
        jwks=keys,
        vkeys=keyring.vkeys,
        sign=keyring.sign_note,
    )


def chunks(rows: QuerySet[Receipt], log: Log) -> Iterator[list[Receipt]]:
    """Return those of the receipts that the log has at its size, in its order.

    Each chunk is a query of its own, for the log's tenant: whoever takes them does so
    after the view has returned, and holds no transaction open between them.
    """
    rows = rows.filter(leaf_index__lt=log.size).order_by("leaf_index")
    after = -1
    while True:
        with working_for(log.tenant_id):
            chunk = list(rows.filter(leaf_index__gt=after)[:CHUNK])
        give_back()
        if chunk:
            yield chunk
        if len(chunk) < CHUNK:
            return
        after = chunk[-1].leaf_index


def bundle(
    rows: QuerySet[Receipt], log: Log, head: SignedHead, about: About
) -> Iterator[bytes]:
    """Return the zip of receipts with their proofs, piece by piece."""
    wanted = rows.only("id", "leaf_index", "entry")
    return pack(head, _leaves(wanted, log), about)


def _leaves(rows: QuerySet[Receipt], log: Log) -> Iterator[Leaf]:
    reader = LogReader(log)
    for chunk in chunks(rows, log):
        with working_for(log.tenant_id):
            proofs = reader.inclusion_proofs([row.leaf_index for row in chunk])
        give_back()
        for row, proof in zip(chunk, proofs, strict=True):
            yield Leaf(row.leaf_index, row.pk, bytes(row.entry), tuple(proof))


def download(receipt: Receipt, actor: Actor) -> HttpResponse:
    """Note the export of a receipt that was read with its tenant and log, then return
    the zip; raises LedgerUnavailable.
    """
    tenant, mode = receipt.tenant, receipt.log.mode
    log, head = head_of(tenant.pk, mode)
    note_export(actor, log, "receipt", receipt.pk, 1, {})
    rows = Receipt.objects.of_log(tenant.pk, mode).filter(pk=receipt.pk)
    about = made_by(actor, {"receipt_id": str(receipt.pk)})
    name = file_name(tenant, mode, f"receipt-{receipt.leaf_index}")
    data = b"".join(bundle(rows, log, head, about))
    length = {"Content-Length": str(len(data))}
    return HttpResponse(data, headers=headers(name) | length)


def of_run(run_id: str, tenant: Tenant, mode: str) -> QuerySet[Receipt]:
    """Return the receipts of an orchestration, that of its ending included."""
    receipts = Receipt.objects.of_log(tenant.pk, mode)
    found: QuerySet[Receipt] = receipts.filter(orchestration_id=run_id)
    return found


def stream(
    rows: QuerySet[Receipt], log: Log, head: SignedHead, about: About, name: str
) -> StreamingHttpResponse:
    """Return the download of a bundle that is made while it is sent."""
    pieces = bundle(rows, log, head, about)
    return StreamingHttpResponse(pieces, headers=headers(name))


def note_export(
    actor: Actor,
    log: Log,
    kind: str,
    object_id: object,
    count: int,
    filters: dict[str, Any],
) -> None:
    """Note that receipts with their proofs leave, before the first byte does."""
    events.record(
        actor,
        EXPORTED,
        tenant_id=log.tenant_id,
        kind=kind,
        object_id=object_id,
        after={
            "mode": log.mode,
            "filters": filters,
            "count": count,
            "log_size": log.size,
        },
    )


def file_name(tenant: Tenant, mode: str, what: str) -> str:
    """Return what a bundle is called: whose it is and of what."""
    of_mode = "" if mode == Mode.LIVE else f"-{mode}"
    return f"lucid-evidence-{tenant.slug}{of_mode}-{what}.zip"


def headers(name: str) -> dict[str, str]:
    return {
        "Content-Type": ZIP,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
