"""When the calls and steps of a run took place: one by one, or many in one span.

However many there are, no more than some hundred spans come of them: consecutive calls
of an agent are taken together then.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    F,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
    When,
)

from lucid.api.uuid7 import time_of
from orchestrations.models import NOT_COMPLETED, Inference, Orchestration, Step
from orchestrations.run_calls import LONGEST, Callers, Rows
from orchestrations.run_words import OUTCOMES

# With their table, some 60 kB of the page.
MOST_CALLS = 120
MOST_STEPS = 50
LANES = 8  # agents, the last of them standing for all others
REST_OF_SECOND = timedelta(milliseconds=999)
FAILED = Q(outcome__in=NOT_COMPLETED)


@dataclass(frozen=True)
class Span:
    """A call or a step, or `count` of them: from the first recorded to the last."""

    agent_id: str | None  # None: of several agents
    begin: datetime
    end: datetime
    what: str
    is_step: bool = False
    count: int = 1
    failed: int = 0
    cost: Decimal | None = None  # what was charged, None: no price is known

    @property
    def time(self) -> timedelta:
        return self.end - self.begin


def spans_of_calls(recent: Rows, callers: Callers) -> list[Span]:
    """Return the spans of calls, in the order of the log."""
    if callers.calls <= MOST_CALLS:
        return [_of_call(row) for row in recent.order_by("leaf_index")]
    return list(_together(recent, callers))


def _of_call(call: Inference) -> Span:
    is_failed = call.outcome in NOT_COMPLETED
    end = end_of(call)
    return Span(
        call.agent_id,
        _before(end, call.latency_ms),
        end,
        f"{call.model}, {OUTCOMES[call.outcome].words}" if is_failed else call.model,
        failed=int(is_failed),
        cost=call.cost,
    )


def end_of(call: Inference) -> datetime:
    """Return when a call was recorded, to the millisecond where its receipt's id tells.

    `recorded_at` is a whole second, as in the receipt. An id is given out with the
    recording, or, by the gateway, when a call begins.
    """
    made = time_of(call.receipt_id)
    if made is None:
        return call.recorded_at
    is_witnessed = bool(call.outcome)
    took = timedelta(milliseconds=min(call.latency_ms or 0, LONGEST))
    told = made + took if is_witnessed else made
    return min(max(told, call.recorded_at), call.recorded_at + REST_OF_SECOND)


def _together(recent: Rows, callers: Callers) -> Iterable[Span]:
    """Take calls together that are near each other in the log."""
    parts = MOST_CALLS // min(callers.agents, LANES)
    length = callers.last_leaf - callers.first_leaf + 1
    # Integers throughout: both engines round such a quotient down.
    part = (F("leaf_index") - callers.first_leaf) * parts / length
    whose = agent_of_lane(callers.busiest(LANES - 1))
    groups = recent.order_by().annotate(part=part, whose=whose)
    sums: Any = groups.values_list("part", "whose").annotate(
        count=Count("pk"),
        begin=Min("recorded_at"),
        end=Max("recorded_at"),
        failures=Count("pk", filter=FAILED),
        charged=Sum("cost"),
    )
    for _, agent_id, count, begin, end, failed, cost in sums.order_by("end", "part"):
        what = f"{count:,} calls"
        yield Span(agent_id, begin, end, what, False, count, failed, cost)


def agent_of_lane(agents: Collection[str]) -> Case:
    """Return who did it, as one of these agents; NULL for any other."""
    return Case(When(agent_id__in=agents, then=F("agent_id")), output_field=CharField())


def spans_of_steps(
    run: Orchestration, steps: list[Step], callers: Callers
) -> list[Span]:
    """Return the spans of steps; `steps` are all of them, where they are few."""
    if run.step_count <= MOST_STEPS:
        return [_of_step(step) for step in steps]
    rows = Step.objects.filter(tenant_id=run.tenant_id, orchestration_id=run.pk)
    agents = {run.agent_id, *callers.busiest(LANES - 2)}
    return list(_steps_together(rows, run.step_count, agents))


def _of_step(step: Step) -> Span:
    name = step.get_action_display().capitalize()
    return Span(
        step.agent_id,
        _before(step.recorded_at, step.duration_ms),
        step.recorded_at,
        f"{name}: {step.name}" if step.name else name,
        is_step=True,
        cost=counted_cost(step),
    )


def _steps_together(
    rows: QuerySet[Step], count: int, agents: Collection[str]
) -> Iterable[Span]:
    part = (F("step_number") - 1) * (MOST_STEPS // LANES) / count
    groups = rows.order_by().annotate(part=part, whose=agent_of_lane(agents))
    paid = ~Q(action=Step.Action.LLM_INFERENCE)
    sums: Any = groups.values_list("part", "whose").annotate(
        count=Count("pk"),
        begin=Min("recorded_at"),
        end=Max("recorded_at"),
        charged=Sum("cost", filter=paid),
    )
    for _, agent_id, number, begin, end, cost in sums.order_by("end", "part"):
        what = f"{number:,} steps"
        yield Span(agent_id, begin, end, what, True, number, cost=cost)


def counted_cost(step: Step) -> Decimal | None:
    """Return what a step adds to its run: a call's own cost is counted with it."""
    return None if step.action == Step.Action.LLM_INFERENCE else step.cost


def _before(moment: datetime, milliseconds: int | None) -> datetime:
    """Return when something began that took so long, as far as a date can tell."""
    try:
        return moment - timedelta(milliseconds=min(milliseconds or 0, LONGEST))
    except OverflowError:
        return moment
