"""The list of runs: its rows and columns, on the page and as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from lucid.list_page import Choice, Column
from orchestrations.models import Orchestration
from orchestrations.money import in_dollars
from orchestrations.recording import iso_time
from orchestrations.run_words import STATUSES, Verdict, duration
from orchestrations.settling import is_due
from orchestrations.usage import TOKEN_COUNTS

STARTED = Column("started", "Started")
ENDED = Column("ended", "Ended", is_usual=False)
COLUMNS = [
    STARTED,
    ENDED,
    Column("run", "Run"),
    Column("status", "Status"),
    Column("workflow", "Workflow"),
    Column("agent", "Agent"),
    Column("model", "Model", is_usual=False),
    Column("calls", "Calls", is_number=True),
    Column("steps", "Steps", is_number=True, is_usual=False),
    Column("tokens", "Tokens", is_number=True),
    Column("cost", "Cost, US$", is_number=True),
    Column("failures", "Failed", is_number=True),
    Column("unpriced", "Unpriced", is_number=True, is_usual=False),
    Column("duration", "Duration", is_number=True),
]


def columns_of(*, by_end: bool) -> list[Column]:
    """Return the columns: the usual time is the one that the list is in order of."""
    usual = {STARTED: not by_end, ENDED: by_end}
    return [it._replace(is_usual=usual.get(it, it.is_usual)) for it in COLUMNS]


@dataclass(frozen=True)
class RunRow:
    run: Orchestration

    @property
    def verdict(self) -> Verdict:
        return STATUSES[self.run.status]

    @property
    def is_overdue(self) -> bool:
        """Whether its time is over and the log could not yet take its end."""
        return is_due(self.run, timezone.now())

    @property
    def tokens(self) -> int:
        return total_tokens(self.run)

    @property
    def is_over_budget(self) -> bool:
        budget = self.run.budget
        return budget is not None and self.run.total_cost >= budget

    @property
    def took(self) -> timedelta | None:
        ended_at = self.run.ended_at
        return None if ended_at is None else ended_at - self.run.started_at

    @property
    def duration(self) -> str:
        return duration(self.took)


def total_tokens(run: Orchestration) -> int:
    """Add the buckets up; `reasoning_tokens` are a part of another."""
    counts = sum(getattr(run, name) for name in TOKEN_COUNTS)
    return int(counts - run.reasoning_tokens)


Value = Callable[[RunRow], Any]

# What a column of the page is in the file: units in the head, times in ISO 8601.
IN_CSV: dict[str, list[tuple[str, Value]]] = {
    "started": [("started_at", lambda row: iso_time(row.run.started_at))],
    "ended": [("ended_at", lambda row: _time(row.run.ended_at))],
    "run": [
        ("orchestration_id", lambda row: row.run.pk),
        ("name", lambda row: row.run.name),
    ],
    "status": [("status", lambda row: row.run.status)],
    "workflow": [("workflow_id", lambda row: row.run.workflow_id)],
    "agent": [("agent_id", lambda row: row.run.agent_id)],
    "model": [("model", lambda row: row.run.model)],
    "calls": [("calls", lambda row: row.run.inference_count)],
    "steps": [("steps", lambda row: row.run.step_count)],
    "tokens": [("tokens", lambda row: row.tokens)],
    "cost": [
        ("cost_usd", lambda row: in_dollars(row.run.total_cost)),
        ("budget_usd", lambda row: in_dollars(row.run.budget)),
    ],
    "failures": [("failed_calls", lambda row: row.run.failed_count)],
    "unpriced": [("unpriced_calls", lambda row: row.run.unpriced_count)],
    "duration": [("duration_seconds", lambda row: _seconds(row.took))],
}


def as_csv(
    rows: Sequence[RunRow], choices: Sequence[Choice]
) -> tuple[list[str], list[list[Any]]]:
    """Return the head and the lines of the columns that are shown."""
    shown = [
        part
        for choice in choices
        if choice.is_shown
        for part in IN_CSV[choice.column.name]
    ]
    head = [name for name, _ in shown]
    return head, [[value(row) for _, value in shown] for row in rows]


def _time(moment: datetime | None) -> str:
    return "" if moment is None else iso_time(moment)


def _seconds(time: timedelta | None) -> str:
    return "" if time is None else f"{time.total_seconds():.3f}"
