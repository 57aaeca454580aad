"""Orchestrations and their steps as the API shows them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Max, Min

from orchestrations.models import Inference, Orchestration, Step
from orchestrations.money import from_nanocents, shown
from orchestrations.recording import iso_time
from orchestrations.usage import TOKEN_COUNTS
from receipts.merkle import Frontier

SHOWN = 100  # gaps and duplicates of a client's sequence


def started(row: dict[str, Any]) -> Orchestration:
    """Return the model of a row that the books wrote: amounts are nanocents there."""
    money = ("cost", "list_price", "step_cost", "budget")
    amounts = {n: None if row[n] is None else from_nanocents(row[n]) for n in money}
    return Orchestration(**(row | amounts))


def summary(run: Orchestration) -> dict[str, Any]:
    """Return a run without its steps, as lists show it."""
    ending = run.ending or {}
    tokens = {name: getattr(run, name) for name in TOKEN_COUNTS}
    total_tokens = sum(tokens.values()) - run.reasoning_tokens
    frontier = Frontier.from_bytes(run.inference_count, bytes(run.frontier))
    return {
        "id": run.pk,
        "orchestration_id": run.pk,
        "agent_id": run.agent_id,
        "workflow_id": run.workflow_id or None,
        "name": run.name or None,
        "model": run.model or None,
        "status": str(run.status),
        "max_steps": run.max_steps,
        "timeout_seconds": run.timeout_seconds,
        "started_at": iso_time(run.started_at),
        "created_at": iso_time(run.started_at),
        "expires_at": iso_time(run.expires_at),
        "completed_at": iso_time(run.ended_at) if run.ended_at else None,
        "error": ending.get("error"),
        "output_hash": ending.get("output_hash"),
        "receipt_id": str(run.receipt_id) if run.receipt_id else None,
        "total_cost_cents": shown(run.total_cost),
        "inference_cost_cents": shown(run.cost),
        "step_cost_cents": shown(run.step_cost),
        "list_price_cents": shown(run.list_price),
        "total_tokens": total_tokens,
        "usage": tokens,
        "inference_count": run.inference_count,
        "unpriced_count": run.unpriced_count,
        "contradictory_count": run.flagged_count,
        "failed_count": run.failed_count,
        "step_count": run.step_count,
        "inferences": {"count": frontier.size, "root": frontier.root().hex()},
        "budget": _budget(run),
    }


def whole(run: Orchestration) -> dict[str, Any]:
    """Return a run with its steps, and what its client's counter says is missing."""
    steps = Step.objects.filter(tenant_id=run.tenant_id, orchestration_id=run.pk)
    in_order = list(steps.order_by("step_number"))
    return whole_of(run, run.adjustment(), in_order, sequence_of(run.tenant_id, run.pk))


def whole_of(
    run: Orchestration,
    adjustment: Decimal,
    steps: Iterable[Step],
    sequence: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return what `whole` does, from what has been read already."""
    return summary(run) | {
        "adjusted_cost_cents": shown(run.total_cost + adjustment),
        "agents": run.request.get("agents", []),
        "input": run.request.get("input"),
        "parameters": run.request.get("parameters"),
        "metadata": run.request.get("metadata"),
        "steps": [step_json(step) for step in steps],
        "output": (run.ending or {}).get("output"),
        "sequence": sequence,
    }


def _budget(run: Orchestration) -> dict[str, Any] | None:
    if run.budget is None:
        return None
    return {
        "limit_cents": shown(run.budget),
        "spent_cents": shown(run.total_cost),
        "remaining_cents": shown(max(run.budget - run.total_cost, Decimal(0))),
        "exceeded": run.total_cost >= run.budget,
    }


def step_json(step: Step) -> dict[str, Any]:
    return {
        "step_number": step.step_number,
        "action": step.action,
        "name": step.name or None,
        "agent_id": step.agent_id,
        "result": step.result,
        "duration_ms": step.duration_ms,
        "cost_cents": shown(step.cost),
        "input_hash": step.input_hash or None,
        "output_hash": step.output_hash or None,
        "recorded_at": iso_time(step.recorded_at),
    }


def sequence_of(tenant_id: UUID, orchestration_id: str) -> dict[str, Any] | None:
    """Return what the client's own counter says; None where it counts nothing.

    Counters start at 0 or 1, so what is before the first is missing as well.
    """
    counted = Inference.objects.filter(
        tenant_id=tenant_id, orchestration_id=orchestration_id
    ).exclude(sequence=None)
    seen = counted.aggregate(
        calls=Count("sequence"),
        distinct=Count("sequence", distinct=True),
        first=Min("sequence"),
        last=Max("sequence"),
    )
    if not seen["calls"]:
        return None
    begin = min(1, seen["first"])
    missing = seen["last"] - begin + 1 - seen["distinct"]
    return {
        "first": seen["first"],
        "last": seen["last"],
        "missing": missing,
        "gaps": _gaps(tenant_id, orchestration_id, begin) if missing else [],
        "duplicates": _duplicates(counted) if seen["calls"] > seen["distinct"] else [],
    }


GAPS = """
    SELECT before + 1, sequence - 1 FROM (
        SELECT sequence, LAG(sequence, 1, %s) OVER (ORDER BY sequence) AS before
        FROM orchestrations_inference
        WHERE tenant_id = %s AND orchestration_id = %s AND sequence IS NOT NULL
    ) AS neighbours WHERE sequence > before + 1 ORDER BY 1 LIMIT %s
"""


def _gaps(tenant_id: UUID, orchestration_id: str, begin: int) -> list[list[int]]:
    """Return the ranges [from, to] of numbers that no call has, the first of them."""
    tenant = tenant_id if connection.vendor == "postgresql" else tenant_id.hex
    with connection.cursor() as cursor:
        cursor.execute(GAPS, [begin - 1, tenant, orchestration_id, SHOWN])
        return [[first, last] for first, last in cursor.fetchall()]


def _duplicates(counted: Any) -> Iterable[int]:
    repeated = (
        counted.values("sequence").annotate(calls=Count("pk")).filter(calls__gt=1)
    )
    return list(
        repeated.order_by("sequence").values_list("sequence", flat=True)[:SHOWN]
    )
