"""The calls of one run as its page shows them: a page of them, failures, who made them.

A run may have any number of calls. Sums and filters look at its newest RECENT calls
and no more, and say so.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Count, Max, Min, Q, QuerySet, Sum, TextChoices

from lucid.api.errors import ApiError
from lucid.api.pagination import cut, decode_cursor, encode_cursor
from orchestrations.models import NOT_COMPLETED, Inference, Orchestration
from orchestrations.money import in_dollars
from orchestrations.recording import WITNESSED, iso_time
from orchestrations.run_words import OUTCOMES, SOURCES, Verdict, duration
from orchestrations.usage import TOKEN_COUNTS
from receipts.models import Receipt

RECENT = 5_000  # calls: some 40 ms to add up, and to draw
CALLS_SHOWN = 25
FAILURES_SHOWN = 10
CALLERS_SHOWN = 50

Rows = QuerySet[Inference]


class Only(TextChoices):
    FAILED = "failed", "Failures"
    UNPRICED = "unpriced", "Unpriced"


NARROWED = {Only.FAILED: Q(outcome__in=NOT_COMPLETED), Only.UNPRICED: Q(cost=None)}


@dataclass(frozen=True)
class ShownCall:
    """A call, with what its receipt alone knows of it."""

    call: Inference
    claims: dict[str, Any]

    @property
    def has_receipt(self) -> bool:
        return bool(self.claims)

    @property
    def is_witnessed(self) -> bool:
        return self.claims.get("observed") == WITNESSED

    @property
    def step_name(self) -> str:
        return str(self.claims.get("step_name", ""))

    @property
    def served_model(self) -> str:
        """The model that answered, where that is not the one asked for."""
        served = self.call.served_model
        return "" if served == self.call.model else served

    @property
    def outcome(self) -> Verdict:
        return OUTCOMES[self.call.outcome]

    @property
    def http_status(self) -> int | None:
        return self.claims.get("http_status")

    @property
    def error(self) -> dict[str, str]:
        """What the provider, or our gateway, said of a failure."""
        return self.claims.get("error") or {}

    @property
    def source(self) -> str:
        return SOURCES[self.call.cost_source]

    @property
    def latency(self) -> str:
        return as_duration(self.call.latency_ms)


def as_duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    return duration(timedelta(milliseconds=min(milliseconds, LONGEST)))


LONGEST = 10**12  # milliseconds: whatever a client claims, a timedelta holds this


@dataclass(frozen=True)
class CallFilter:
    agent: str = ""
    model: str = ""
    only: str = ""
    cursor: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether its cursor points at no place in the list."""
        try:
            return self.cursor is not None and decode_cursor(self.cursor) < 0
        except ApiError:
            return True

    @property
    def is_set(self) -> bool:
        return bool(self.agent or self.model or self.only)

    def page(self, run: Orchestration) -> tuple[list[Inference], str | None, bool]:
        """Return calls, newest first, the next cursor, and whether a filter ran out."""
        rows = calls_of(run).order_by("-leaf_index")
        if self.cursor is not None:
            rows = rows.filter(leaf_index__lt=decode_cursor(self.cursor))
        floor = recent_from(rows) if self.is_set else None
        if floor is not None:
            rows = rows.filter(leaf_index__gte=floor)
        page, more = cut(rows.filter(*self._conditions()), CALLS_SHOWN)
        if more:
            return page, encode_cursor(page[-1].leaf_index), False
        if floor is not None:
            return page, encode_cursor(floor), True
        return page, None, False

    def _conditions(self) -> list[Q]:
        conditions = [Q(agent_id=self.agent)] if self.agent else []
        if self.model:
            conditions.append(Q(model=self.model))
        if self.only:
            conditions.append(NARROWED[Only(self.only)])
        return conditions


def calls_of(run: Orchestration) -> Rows:
    return Inference.objects.filter(tenant_id=run.tenant_id, orchestration_id=run.pk)


def recent_from(newest_first: Rows) -> int | None:
    """Return the place in the log of the last call looked at; None: at all of them."""
    places = newest_first.values_list("leaf_index", flat=True)
    last = list(places[RECENT - 1 : RECENT + 1])
    return last[0] if len(last) > 1 else None


def recent_calls(run: Orchestration) -> Rows:
    """Return the calls of a run that its page adds up: all, or the newest RECENT."""
    rows = calls_of(run)
    if run.inference_count <= RECENT:
        return rows
    floor = recent_from(rows.order_by("-leaf_index"))
    return rows if floor is None else rows.filter(leaf_index__gte=floor)


def failures(recent: Rows) -> list[Inference]:
    failed = recent.filter(NARROWED[Only.FAILED])
    return list(failed.order_by("-leaf_index")[:FAILURES_SHOWN])


def entries_of(receipt_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return the entries of receipts, by id."""
    receipts = Receipt.objects.filter(pk__in=receipt_ids).values_list("pk", "entry")
    return {pk: msgspec.json.decode(bytes(entry)) for pk, entry in receipts}


def shown(
    calls: Iterable[Inference], entries: dict[UUID, dict[str, Any]]
) -> list[ShownCall]:
    return [ShownCall(call, entries.get(call.receipt_id, {})) for call in calls]


@dataclass(frozen=True)
class Caller:
    """What one agent asked of one model."""

    agent_id: str
    model: str
    calls: int
    failed: int
    unpriced: int
    tokens: int
    cost: Decimal | None  # None: no call has a price


@dataclass(frozen=True)
class Callers:
    rows: list[Caller] = field(default_factory=list)
    agents: int = 0
    calls: int = 0
    first_leaf: int = 0
    last_leaf: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None

    def busiest(self, most: int) -> list[str]:
        """Return the agents of the most calls."""
        calls = Counter[str]()
        for row in self.rows:
            calls[row.agent_id] += row.calls
        return [agent_id for agent_id, _ in calls.most_common(most)]

    @property
    def shown(self) -> list[Caller]:
        return self.rows[:CALLERS_SHOWN]

    @property
    def left_out(self) -> int:
        return max(len(self.rows) - CALLERS_SHOWN, 0)


def who_called(recent: Rows) -> Callers:
    """Add up calls by agent and model, the dearest first."""
    groups = recent.order_by().values_list("agent_id", "model")
    sums = list(groups.annotate(**SUMS))
    if not sums:
        return Callers()
    rows = [_caller(*row[: len(SHOWN_SUMS) + 2]) for row in sums]
    rows.sort(key=lambda row: (-(row.cost or 0), -row.calls, row.agent_id, row.model))
    first_leaf, last_leaf, first_at, last_at = zip(
        *(row[len(SHOWN_SUMS) + 2 :] for row in sums), strict=True
    )
    return Callers(
        rows,
        len({row.agent_id for row in rows}),
        sum(row.calls for row in rows),
        min(first_leaf),
        max(last_leaf),
        min(first_at),
        max(last_at),
    )


SHOWN_SUMS: dict[str, Any] = {
    "calls": Count("pk"),
    "failed": Count("pk", filter=NARROWED[Only.FAILED]),
    "unpriced": Count("pk", filter=NARROWED[Only.UNPRICED]),
    "charged": Sum("cost"),
    **{f"sum_{name}": Sum(name) for name in TOKEN_COUNTS if name != "reasoning_tokens"},
}
SUMS = SHOWN_SUMS | {
    "first_leaf": Min("leaf_index"),
    "last_leaf": Max("leaf_index"),
    "first_at": Min("recorded_at"),
    "last_at": Max("recorded_at"),
}


def _caller(
    agent_id: str,
    model: str,
    calls: int,
    failed: int,
    unpriced: int,
    cost: Decimal | None,
    *tokens: int,
) -> Caller:
    return Caller(agent_id, model, calls, failed, unpriced, int(sum(tokens)), cost)


CSV_HEAD = [
    "sequence",
    "recorded_at",
    "agent_id",
    "step_name",
    "model",
    "served_model",
    *TOKEN_COUNTS,
    "cost_usd",
    "cost_source",
    "latency_ms",
    "outcome",
    "observed",
    "error_code",
    "error_message",
    "receipt_id",
]


def calls_as_csv(rows: Iterable[ShownCall]) -> tuple[list[str], list[list[Any]]]:
    return CSV_HEAD, [_line(row) for row in rows]


def _line(row: ShownCall) -> list[Any]:
    call = row.call
    return [
        call.sequence,
        iso_time(call.recorded_at),
        call.agent_id,
        row.step_name,
        call.model,
        call.served_model,
        *(getattr(call, name) for name in TOKEN_COUNTS),
        in_dollars(call.cost),
        call.cost_source,
        call.latency_ms,
        call.outcome,
        row.claims.get("observed", ""),
        row.error.get("code", ""),
        row.error.get("message", ""),
        call.receipt_id,
    ]
