"""The tables of the page of costs as CSV: exact amounts in cents, ISO dates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from orchestrations.cost_groups import Row, table_of
from orchestrations.costs import GroupBy, Period, Usage, summarise
from orchestrations.dearest_runs import dearest_runs
from orchestrations.money import plain
from orchestrations.unpriced_models import unpriced_models
from orchestrations.usage import TOKEN_COUNTS

MAX_MODELS = 1000


class Csv(NamedTuple):
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Question:
    """What a table is of."""

    tenant_id: UUID
    mode: str
    period: Period
    group_by: GroupBy
    sort: str

    def answer(self, table: str) -> Csv:
        return TABLES[table](self)


def cents(amount: Decimal | None) -> str:
    """Every decimal; nothing where there is no price."""
    return "" if amount is None else plain(amount)


def _count(name: str, row: Row) -> Any:
    return getattr(row.usage, name)


def _of_runs(name: str, row: Row) -> Any:
    value = getattr(row.runs, name, None)
    return cents(value) if isinstance(value, Decimal) else value


SUMS: dict[str, Callable[[Row], Any]] = {
    "cost_cents": lambda row: cents(row.cost),
    "step_cost_cents": lambda row: cents(row.usage.step_cost),
    "total_cost_cents": lambda row: cents(row.total_cost),
    "previous_total_cost_cents": lambda row: cents(row.previous),
    "list_price_cents": lambda row: cents(row.usage.list_price),
    "adjusted_cost_cents": lambda row: cents(row.adjusted_cost),
    "unpriced": partial(_count, "still_unpriced"),
    **{
        name: partial(_count, name)
        for name in ("calls", "steps", "failed", *TOKEN_COUNTS, "total_tokens")
    },
    "runs": partial(_of_runs, "count"),
    "average_run_cost_cents": partial(_of_runs, "average_cost"),
    "p95_run_cost_cents": partial(_of_runs, "p95_cost"),
}


def _groups(asked: Question) -> Csv:
    return _sums(asked, asked.group_by, asked.sort)


def _days(asked: Question) -> Csv:
    return _sums(asked, GroupBy.DAY, "")


def _sums(asked: Question, group_by: GroupBy, sort: str) -> Csv:
    summary = summarise(asked.tenant_id, asked.mode, asked.period, group_by)
    table = table_of(summary, group_by, sort, asked.tenant_id)
    rest = table.rest(len(table.rows))
    rows = [*table.rows, rest] if rest else table.rows
    head = [group_by.value, "name", *SUMS]
    return Csv(head, [_line(row) for row in rows])


def _line(row: Row) -> list[Any]:
    return [row.plain_key, row.label, *(value(row) for value in SUMS.values())]


def _tokens(asked: Question) -> Csv:
    usage = summarise(asked.tenant_id, asked.mode, asked.period).totals.usage
    rows = [[name, count] for name, _, count in token_split(usage)]
    return Csv(["kind", "tokens"], [*rows, ["total_tokens", usage.total_tokens]])


def token_split(usage: Usage) -> list[tuple[str, str, int]]:
    """Return the name, the words and the number of each kind of tokens."""
    return [(name, TOKEN_WORDS[name], getattr(usage, name)) for name in TOKEN_COUNTS]


TOKEN_WORDS = {
    "input_tokens": "Input, not from a cache",
    "cache_read_tokens": "Read from a cache",
    "cache_write_5m_tokens": "Written to a cache for 5 minutes",
    "cache_write_1h_tokens": "Written to a cache for an hour",
    "output_tokens": "Output",
    "reasoning_tokens": "of which reasoning",
}


def _runs(asked: Question) -> Csv:
    head = (
        "orchestration_id",
        "name",
        "agent_id",
        "workflow_id",
        "status",
        "started_at",
        "ended_at",
        "inferences",
        "unpriced",
        "cost_cents",
        "step_cost_cents",
        "total_cost_cents",
    )
    whose = asked.tenant_id, asked.mode, asked.period
    bands = summarise(*whose).totals.runs.bands
    rows = [
        (
            run.pk,
            run.name,
            run.agent_id,
            run.workflow_id,
            run.status,
            run.started_at.isoformat(),
            run.ended_at.isoformat() if run.ended_at else "",
            run.inference_count,
            run.unpriced_count,
            cents(run.cost),
            cents(run.step_cost),
            cents(run.total_cost),
        )
        for run in dearest_runs(*whose, bands).runs
    ]
    return Csv(head, rows)


def _unpriced(asked: Question) -> Csv:
    models = unpriced_models(asked.tenant_id, asked.mode, asked.period, MAX_MODELS)
    return Csv(("provider", "model", "calls"), models)


TABLES: dict[str, Callable[[Question], Csv]] = {
    "groups": _groups,
    "days": _days,
    "tokens": _tokens,
    "runs": _runs,
    "unpriced": _unpriced,
}
