"""Carrying receipts and inferences away, at one size of the log.

The rows are counted first, so that the access event can say how many leave before the
first of them does. They are read while they are sent: at the fixed size of the log,
which nothing that is appended meanwhile changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from orchestrations import inference_export
from orchestrations.export_forms import INFERENCES, RECEIPTS, ExportForm
from receipts import evidence, receipt_export
from receipts.bundle import SignedHead
from receipts.evidence import EXPORTED as EVIDENCE_EXPORTED
from receipts.evidence import MAX_RECEIPTS, headers, made_by
from receipts.export_file import JSONL, Content, pack
from receipts.ledger import LedgerUnavailable
from receipts.models import Log
from tenants import events
from tenants.events import Actor
from tenants.models import AccessEvent, Mode, Tenant

ACTIONS = {
    RECEIPTS: "receipts.exported",
    INFERENCES: "inferences.exported",
}
ALL_ACTIONS = [*ACTIONS.values(), EVIDENCE_EXPORTED]
SHOWN = 20  # past exports


class RefusedExport(ValueError):
    """What is asked for cannot be had as it is asked; says why."""


@dataclass(frozen=True)
class _Wanted:
    """A valid form, and the log that it is asked of."""

    form: ExportForm
    tenant: Tenant
    log: Log
    head: SignedHead

    @property
    def kind(self) -> str:
        return str(self.form.cleaned_data["what"])

    @property
    def format(self) -> str:
        return str(self.form.cleaned_data["format"])

    @property
    def has_proofs(self) -> bool:
        return bool(self.form.cleaned_data["proofs"])

    @property
    def mode(self) -> str:
        return self.log.mode

    def rows(self) -> QuerySet[Any]:
        if self.kind == INFERENCES:
            return inference_export.passing(self.form.call_filter(), self.log)
        receipts = self.form.receipt_filter().in_log_order(self.tenant.pk, self.mode)
        return receipts.filter(leaf_index__lt=self.log.size)


def export(
    form: ExportForm, tenant: Tenant, mode: str, actor: Actor
) -> StreamingHttpResponse:
    """Note the export that a valid form asks for, and return the download.

    Raises RefusedExport.
    """
    try:
        log, head = evidence.head_of(tenant.pk, mode)
    except LedgerUnavailable:
        raise RefusedExport("Keys are being changed just now: try again.") from None
    wanted = _Wanted(form, tenant, log, head)
    return _bundle(wanted, actor) if wanted.has_proofs else _file(wanted, actor)


def _bundle(wanted: _Wanted, actor: Actor) -> StreamingHttpResponse:
    rows = wanted.rows()
    count = rows[: MAX_RECEIPTS + 1].count()
    if count > MAX_RECEIPTS:
        raise RefusedExport(
            f"More than {MAX_RECEIPTS:,} receipts pass. A bundle with proofs has two"
            " files for each, and more are more than every unzip program can read:"
            " take some days at a time, or no proofs."
        )
    if not count:
        raise RefusedExport("No receipt passes these filters, so nothing to prove.")
    filters = wanted.form.filters
    name = _name(wanted, "evidence")
    evidence.note_export(actor, wanted.log, "export", name, count, filters)
    about = made_by(actor, filters)
    return evidence.stream(rows, wanted.log, wanted.head, about, name)


def _file(wanted: _Wanted, actor: Actor) -> StreamingHttpResponse:
    rows, filters, name = wanted.rows(), wanted.form.filters, _name(wanted, wanted.kind)
    count = rows.count()
    events.record(
        actor,
        ACTIONS[wanted.kind],
        tenant_id=wanted.tenant.pk,
        kind="export",
        object_id=name,
        after={
            "format": wanted.format,
            "mode": wanted.mode,
            "filters": filters,
            "count": count,
            "log_size": wanted.log.size,
        },
    )
    source = inference_export if wanted.kind == INFERENCES else receipt_export
    chunks = source.rows_of(rows, wanted.log, wanted.format)
    content = Content(wanted.kind, wanted.format, count, chunks)
    pieces: Iterator[bytes] = pack(content, wanted.head, made_by(actor, filters))
    return StreamingHttpResponse(pieces, headers=headers(name))


def _name(wanted: _Wanted, what: str) -> str:
    """Return a file's name: what is in it, whose, and at which size of the log."""
    of_mode = "" if wanted.mode == Mode.LIVE else f"-{wanted.mode}"
    return f"lucid-{what}-{wanted.tenant.slug}{of_mode}-at-{wanted.log.size}.zip"


@dataclass(frozen=True)
class PastExport:
    """An access event of an export, as the page has it."""

    event: AccessEvent

    @property
    def what(self) -> str:
        """As `Receipts (csv)`."""
        what = self.event.action.partition(".")[0].capitalize()
        file_format = self._after.get("format")
        return f"{what} ({file_format})" if file_format else what

    @property
    def again(self) -> str:
        """The query that fills the form in as it was; none of a single receipt."""
        asked = self._after.get("filters") or {}
        if self.event.object_kind == "receipt":
            return ""
        what = self.event.action.partition(".")[0]
        if self.event.action == EVIDENCE_EXPORTED:
            what, form = RECEIPTS, {"format": JSONL, "proofs": "on"}
        else:
            form = {"format": str(self._after.get("format"))}
        mode = {"mode": self.mode} if self.mode == Mode.TEST else {}
        return urlencode({"what": what, **form, **asked, **mode})

    @property
    def filters(self) -> list[tuple[str, str]]:
        if self.event.object_kind in ("receipt", "orchestration"):
            return [(self.event.object_kind, self.event.object_id)]
        given = self._after.get("filters") or {}
        return [(name.replace("_", " "), str(value)) for name, value in given.items()]

    @property
    def count(self) -> int | None:
        return self._after.get("count")

    @property
    def mode(self) -> str:
        return str(self._after.get("mode", ""))

    @property
    def _after(self) -> dict[str, Any]:
        return self.event.after or {}


def past_exports(tenant: Tenant) -> list[PastExport]:
    """Return the newest exports of a tenant, of either mode."""
    rows = AccessEvent.objects.filter(tenant=tenant, action__in=ALL_ACTIONS)
    return [PastExport(event) for event in rows.order_by("-id")[:SHOWN]]
