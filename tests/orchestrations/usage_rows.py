"""Calls, steps and runs with the rollups they make, written by the ORM.

Counts one thing after the other, as simply as can be: what it is compared with is
fast, and may be wrong.
"""

import hashlib
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from orchestrations.bands import COSTS, LATENCIES
from orchestrations.models import (
    NOBODY,
    Adjustment,
    Inference,
    MonthSpend,
    Orchestration,
    RunDay,
    RunMonth,
    Step,
    UsageDay,
    UsageHour,
    UsageMonth,
)
from orchestrations.money import to_nanocents
from orchestrations.ulid import new_ulid
from receipts.merkle import Frontier, leaf_hash
from receipts.models import Receipt
from tests.caller import Caller

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
DIMENSIONS = ("model", "provider", "agent_id", "workflow_id", "api_key_id")
NO_LOG = {"live": 0, "test": -1}  # receipts are looked up by their ids alone


def cents(amount: Any) -> Any:  # a Decimal, or None
    return None if amount is None else Decimal(str(amount))


def is_failed(call: Inference) -> bool:
    return call.outcome in {"failed", "cut", "unknown"}


class Ledger:
    """What one caller records; nothing is in the database before `write`."""

    def __init__(self, caller: Caller) -> None:
        self.tenant, self.mode = caller.tenant, caller.key.mode
        self.api_key_id = caller.key.pk
        self.runs: list[Orchestration] = []
        self.calls: list[Inference] = []
        self.steps: list[Step] = []
        self.adjustments: list[Adjustment] = []

    def run(
        self, at: datetime, agent_id: str = "agent", workflow_id: str = ""
    ) -> Orchestration:
        run = Orchestration(
            id=f"maip-orch:{new_ulid()}",
            tenant=self.tenant,
            mode=self.mode,
            api_key_id=self.api_key_id,
            agent_id=agent_id,
            workflow_id=workflow_id,
            max_steps=10,
            timeout_seconds=300,
            started_at=at,
            # Never overdue: tests tamper with these, and a tick could not end them.
            expires_at=datetime.max.replace(tzinfo=UTC),
        )
        self.runs.append(run)
        return run

    def call(
        self,
        at: datetime,
        cost: Any = 1,
        run: Orchestration | None = None,
        **columns: Any,
    ) -> Inference:
        defaults = {
            "model": "gpt-5",
            "provider": "openai",
            "agent_id": run.agent_id if run else "",
            "workflow_id": run.workflow_id if run else "",
            "api_key_id": self.api_key_id,
            "input_tokens": 100,
            "output_tokens": 10,
            "list_price": cents(cost),
            "latency_ms": 500,
            "cost_source": "unpriced" if cost is None else "agent_reported",
        }
        call = Inference(
            receipt_id=uuid.uuid4(),
            tenant=self.tenant,
            mode=self.mode,
            orchestration_id=run.pk if run else "",
            leaf_index=len(self.calls),
            recorded_at=at,
            cost=cents(cost),
            **defaults | columns,
        )
        self.calls.append(call)
        return call

    def step(
        self, at: datetime, run: Orchestration, cost: Any = None, **columns: Any
    ) -> Step:
        run.step_count += 1
        step = Step(
            tenant=self.tenant,
            mode=self.mode,
            orchestration_id=run.pk,
            step_number=run.step_count,
            recorded_at=at,
            cost=cents(cost),
            **{"action": "tool_call", "agent_id": run.agent_id} | columns,
        )
        self.steps.append(step)
        return step

    def adjust(self, call: Inference, after: Any, at: datetime) -> None:
        self.adjustments.append(
            Adjustment(
                receipt_id=uuid.uuid4(),
                tenant=self.tenant,
                mode=self.mode,
                inference_id=call.receipt_id,
                recorded_at=at,
                before=call.cost,
                after=cents(after),
            )
        )

    def end(self, run: Orchestration, at: datetime, status: str = "completed") -> None:
        run.ended_at, run.status = at, status

    def write(self) -> None:
        receipts = [self._receipt(call) for call in self.calls]
        for run in self.runs:
            self._add_up(run)
        Receipt.objects.bulk_create(receipts)
        Orchestration.objects.bulk_create(self.runs)
        Inference.objects.bulk_create(self.calls)
        Step.objects.bulk_create(self.steps)
        Adjustment.objects.bulk_create(self.adjustments)
        self._write_usage()
        self._write_runs()

    def _receipt(self, call: Inference) -> Receipt:
        return Receipt(
            id=call.receipt_id,
            tenant=self.tenant,
            log_id=NO_LOG[self.mode],
            leaf_index=call.leaf_index,
            entry=b"",
            leaf_hash=b"",
            receipt_hash=receipt_hash(call),
            run_id=str(call.receipt_id),
            receipt_type="inference",
            timestamp=0,
            issued_at=0,
        )

    def _calls_of(self, run: Orchestration) -> list[Inference]:
        return [call for call in self.calls if call.orchestration_id == run.pk]

    def _add_up(self, run: Orchestration) -> None:
        calls = self._calls_of(run)
        run.inference_count = len(calls)
        hashes = [leaf_hash(receipt_hash(call)) for call in calls]
        run.frontier = Frontier().append(hashes).to_bytes()
        for name in TOKENS:
            setattr(run, name, sum(getattr(call, name) for call in calls))
        run.cost = sum((call.cost or 0 for call in calls), Decimal(0))
        run.list_price = sum((call.list_price or 0 for call in calls), Decimal(0))
        run.unpriced_count = sum(call.cost is None for call in calls)
        run.flagged_count = sum(call.flagged for call in calls)
        run.failed_count = sum(is_failed(call) for call in calls)
        paid = [s for s in self.steps if s.orchestration_id == run.pk and is_paid(s)]
        run.step_cost = sum((step.cost or 0 for step in paid), Decimal(0))
        run.final_cost = run.total_cost if run.ended_at else None

    def _write_usage(self) -> None:
        days: Any = defaultdict(lambda: defaultdict(Decimal))
        hours: Any = defaultdict(lambda: defaultdict(Decimal))
        months: Any = defaultdict(Decimal)
        workflows = {run.pk: run.workflow_id for run in self.runs}
        last = {it.inference_id: it.after for it in self.adjustments}
        for call in self.calls:
            names = tuple(getattr(call, name) for name in DIMENSIONS)
            latency = call.latency_ms
            band = -1 if latency is None else LATENCIES.band(latency)
            day = call.recorded_at.date()
            sums = {
                "calls": 1,
                **{name: getattr(call, name) for name in TOKENS},
                "cost": call.cost or 0,
                "list_price": call.list_price or 0,
                "unpriced": int(call.cost is None),
                "flagged": int(call.flagged),
                "failed": int(is_failed(call)),
                "latency_ms": latency or 0,
                "timed": int(latency is not None),
            }
            for name, value in sums.items():
                days[day, *names][name] += value
                hours[day, call.recorded_at.hour, band, *names][name] += value
            if call.receipt_id in last:
                adjusted = last[call.receipt_id] - (call.cost or 0)
                days[day, *names]["adjustment"] += adjusted
                days[day, *names]["priced_later"] += int(call.cost is None)
            months[day.replace(day=1)] += call.cost or 0
        for step in self.steps:
            workflow = workflows[step.orchestration_id]
            names = ("", "", step.agent_id, workflow, NOBODY)
            day = step.recorded_at.date()
            cost = (step.cost or 0) if is_paid(step) else 0
            for name, value in {"steps": 1, "step_cost": cost}.items():
                days[day, *names][name] += value
                hours[day, step.recorded_at.hour, -1, *names][name] += value
            months[day.replace(day=1)] += cost
        owner = {"tenant": self.tenant, "mode": self.mode}
        UsageDay.objects.bulk_create(
            UsageDay(**owner, day=day, **named(names), **sums)
            for (day, *names), sums in days.items()
        )
        of_months: Any = defaultdict(lambda: defaultdict(int))
        for (day, *names), sums in days.items():
            for name, value in sums.items():
                of_months[day.replace(day=1), *names][name] += value
        UsageMonth.objects.bulk_create(
            UsageMonth(**owner, month=month, **named(names), **sums)
            for (month, *names), sums in of_months.items()
        )
        UsageHour.objects.bulk_create(
            UsageHour(
                **owner,
                day=day,
                hour=hour,
                latency_band=band,
                **named(names),
                **sums,
            )
            for (day, hour, band, *names), sums in hours.items()
        )
        MonthSpend.objects.bulk_create(
            MonthSpend(**owner, month=month, spent=spent)
            for month, spent in months.items()
        )

    def _write_runs(self) -> None:
        rows: Any = defaultdict(lambda: [0, Decimal(0)])
        for run in self.runs:
            if run.ended_at is None:
                continue
            costs: Any = defaultdict(Decimal)
            costs["", ""] = run.total_cost
            for call in self._calls_of(run):
                for name in DIMENSIONS:
                    dimension = "api_key" if name == "api_key_id" else name
                    costs[dimension, str(getattr(call, name))] += call.cost or 0
            for (dimension, value), cost in costs.items():
                band = COSTS.band(to_nanocents(cost))
                row = rows[run.ended_at.date(), dimension, value, run.status, band]
                row[0] += 1
                row[1] += cost
        self._write_run_days(rows)
        self._write_run_months(rows)

    def _write_run_days(self, rows: Any) -> None:
        RunDay.objects.bulk_create(
            RunDay(
                tenant=self.tenant,
                mode=self.mode,
                day=day,
                dimension=dimension,
                value=value,
                status=status,
                cost_band=band,
                runs=runs,
                cost=cost,
            )
            for (day, dimension, value, status, band), (runs, cost) in rows.items()
        )

    def _write_run_months(self, rows: Any) -> None:
        months: Any = defaultdict(lambda: [0, Decimal(0)])
        for (day, dimension, value, _, band), (runs, cost) in rows.items():
            month = months[day.replace(day=1), dimension, value, band]
            month[0] += runs
            month[1] += cost
        RunMonth.objects.bulk_create(
            RunMonth(
                tenant=self.tenant,
                mode=self.mode,
                month=month,
                dimension=dimension,
                value=value,
                cost_band=band,
                runs=runs,
                cost=cost,
            )
            for (month, dimension, value, band), (runs, cost) in months.items()
        )


def receipt_hash(call: Inference) -> bytes:
    return hashlib.sha256(call.receipt_id.bytes).digest()


def is_paid(step: Step) -> bool:
    """An inference's own cost is counted with the inference."""
    return step.action != "llm_inference"


def named(names: list[Any]) -> dict[str, Any]:
    return dict(zip(DIMENSIONS, names, strict=True))
