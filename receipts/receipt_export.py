"""Receipts as rows of an export."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from receipts.evidence import chunks
from receipts.export_file import CSV, Chunk, as_csv
from receipts.models import Log, Receipt

# Members of an entry that stand in a column as they are.
PLAIN = (
    *("model", "provider", "agent_id", "orchestration_id", "trace_id"),
    *("model_passport_id", "compute_passport_id", "policy_hash", "runtime"),
    *("observed", "status"),
)
SEALED = ("receipt_hash", "receipt_signature", "signer_kid")
HEAD = (
    *("leaf_index", "receipt_id", "receipt_type", "run_id", "timestamp", "issued_at"),
    *PLAIN,
    *("tokens_in", "tokens_out", "ttft_ms", "latency_ms"),
    *("cost_cents", "cost_source", "list_price_cents"),
    *SEALED,
)
READ = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
)


def rows_of(receipts: QuerySet[Receipt], log: Log, file_format: str) -> Iterator[Chunk]:
    """Return receipts in a format, in the order of the log."""
    found = chunks(receipts.only("id", "leaf_index", "entry"), log)
    if file_format == CSV:
        return as_csv(HEAD, ([_row(receipt) for receipt in chunk] for chunk in found))
    return ((len(chunk), b"".join(map(_line, chunk))) for chunk in found)


def _line(receipt: Receipt) -> bytes:
    """Write a receipt as the API shows it, around the entry's own bytes.

    So whoever drops the three extras has the entry as it was signed.
    """
    extras = b',"receipt_id":"%s","_mmr_leaf_index":%d,"anchor":null}\n'
    place = (str(receipt.pk).encode(), receipt.leaf_index)
    return bytes(receipt.entry)[:-1] + extras % place


def _row(receipt: Receipt) -> list[Any]:
    entry = json.loads(bytes(receipt.entry))
    return [
        receipt.leaf_index,
        receipt.pk,
        *(entry.get(name) for name in ("receipt_type", "run_id")),
        *(_time(entry.get(name)) for name in ("timestamp", "issued_at")),
        *(entry.get(name) for name in PLAIN),
        *_counts(entry),
        *_costs(entry),
        *(entry.get(name) for name in SEALED),
    ]


def _time(seconds: int | None) -> str:
    moment = datetime.fromtimestamp(seconds or 0, UTC)
    return "" if seconds is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _counts(entry: dict[str, Any]) -> list[Any]:
    metrics = entry.get("metrics") or {}
    latency = entry.get("latency_ms", metrics.get("total_latency_ms"))
    return [*_tokens(entry, metrics), metrics.get("ttft_ms"), latency]


def _tokens(entry: dict[str, Any], metrics: dict[str, Any]) -> tuple[Any, Any]:
    """Return tokens in and out; of a run those of all its calls."""
    usage = entry.get("usage") or entry.get("totals")
    if not isinstance(usage, dict) or "output_tokens" not in usage:
        return metrics.get("tokens_in"), metrics.get("tokens_out")
    return sum(usage.get(name, 0) for name in READ), usage["output_tokens"]


def _costs(entry: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return cost, who says so, and list price: amounts as the texts that they are."""
    if totals := entry.get("totals"):
        return totals.get("cost_cents"), None, totals.get("list_price_cents")
    cost = entry.get("cost") or {}
    return cost.get("cents"), cost.get("source"), cost.get("list_price_cents")
