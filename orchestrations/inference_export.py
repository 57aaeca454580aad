"""Inferences as rows of an export, in the order in which they were recorded."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet

from lucid.api.connections import give_back
from lucid.isolation import working_for
from orchestrations.call_filter import CallFilter
from orchestrations.models import NOBODY, Inference
from orchestrations.money import plain
from orchestrations.usage import TOKEN_COUNTS
from receipts.evidence import CHUNK
from receipts.export_file import CSV, Chunk, as_csv
from receipts.models import Log, Receipt

NAMES = (
    *("orchestration_id", "agent_id", "workflow_id", "model", "served_model"),
    *("provider", "cost_source", "outcome", "sequence", "latency_ms"),
)
HEAD = (
    *("leaf_index", "receipt_id", "inference_id", "recorded_at", "api_key_id"),
    *NAMES,
    *TOKEN_COUNTS,
    *("cost_cents", "list_price_cents", "contradictory", "receipt_hash"),
)


def passing(calls: CallFilter, log: Log) -> QuerySet[Inference]:
    """Return the inferences that pass, of those the log has at its size."""
    return Inference.objects.filter(
        calls.passing,
        calls.times,
        tenant_id=log.tenant_id,
        mode=log.mode,
        leaf_index__lt=log.size,
    )


def rows_of(rows: QuerySet[Inference], log: Log, file_format: str) -> Iterator[Chunk]:
    found = (_rows(chunk) for chunk in _chunks(rows, log))
    if file_format == CSV:
        return as_csv(HEAD, found)
    return ((len(chunk), b"".join(map(_line, chunk))) for chunk in found)


_Named = tuple[Inference, tuple[str, str]]  # inference_id and receipt_hash


def _chunks(rows: QuerySet[Inference], log: Log) -> Iterator[list[_Named]]:
    """Return chunks along the index by time, as `receipts.evidence.chunks` does."""
    rows = rows.order_by("recorded_at", "receipt_id")
    place = Q()
    while True:
        with working_for(log.tenant_id):
            chunk = list(rows.filter(place)[:CHUNK])
            names = _names(chunk)
        give_back()
        if chunk:
            yield [(row, names[row.pk]) for row in chunk]
        if len(chunk) < CHUNK:
            return
        last = chunk[-1]
        later = Q(recorded_at=last.recorded_at, receipt_id__gt=last.pk)
        # The first condition is what the index can be entered by.
        place = Q(recorded_at__gte=last.recorded_at) & (
            Q(recorded_at__gt=last.recorded_at) | later
        )


def _names(chunk: Sequence[Inference]) -> dict[UUID, tuple[str, str]]:
    receipts = Receipt.objects.filter(pk__in=[row.pk for row in chunk])
    named = receipts.values_list("pk", "run_id", "receipt_hash")
    return {pk: (run_id, bytes(digest).hex()) for pk, run_id, digest in named}


def _rows(chunk: list[_Named]) -> list[list[Any]]:
    return [
        [
            row.leaf_index,
            str(row.pk),
            inference_id,
            f"{row.recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}",
            None if row.api_key_id == NOBODY else str(row.api_key_id),
            *(_given(getattr(row, name)) for name in NAMES),
            *(getattr(row, name) for name in TOKEN_COUNTS),
            None if row.cost is None else plain(row.cost),
            None if row.list_price is None else plain(row.list_price),
            row.flagged,
            receipt_hash,
        ]
        for row, (inference_id, receipt_hash) in chunk
    ]


def _given(value: Any) -> Any:
    return None if value == "" else value


def _line(row: list[Any]) -> bytes:
    return msgspec.json.encode(dict(zip(HEAD, row, strict=True))) + b"\n"
