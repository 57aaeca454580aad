"""What the page of one run shows, read with few queries however large the run is."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from django.utils import timezone

from lucid.api.pagination import cut
from lucid.api.rendering import encode
from orchestrations.models import Orchestration, Step
from orchestrations.presenting import sequence_of, summary, whole_of
from orchestrations.run_calls import (
    RECENT,
    Callers,
    CallFilter,
    Rows,
    ShownCall,
    as_duration,
    entries_of,
    failures,
    recent_calls,
    shown,
    who_called,
)
from orchestrations.run_rows import RunRow, total_tokens
from orchestrations.run_spans import MOST_STEPS, spans_of_calls, spans_of_steps
from orchestrations.run_timeline import Timeline, draw

Status = Orchestration.Status

GAPS_SHOWN = 10
RAW_LIMIT = 16_000  # characters of JSON; the API has all of it


@dataclass(frozen=True)
class Sequence:
    """What the client's own counter says, in words."""

    first: int
    last: int
    missing: int
    gaps: list[list[int]]
    duplicates: list[int]

    @property
    def sentences(self) -> list[str]:
        return [*map(_gap, self.gaps), *map(_duplicate, self.duplicates)]

    @property
    def shown(self) -> list[str]:
        return self.sentences[:GAPS_SHOWN]

    @property
    def folded(self) -> list[str]:
        return self.sentences[GAPS_SHOWN:]

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.duplicates

    @property
    def not_listed(self) -> int:
        """Numbers that are missing and in none of the gaps told of."""
        return self.missing - sum(last - first + 1 for first, last in self.gaps)


def _gap(gap: list[int]) -> str:
    first, last = gap
    if first == last:
        return f"Call {first:,} was never recorded."
    return f"Calls {first:,} to {last:,} were never recorded."


def _duplicate(number: int) -> str:
    return f"More than one call has the number {number:,}."


@dataclass(frozen=True)
class FinalReceipt:
    """The receipt of a run's end, beside what the run's row says."""

    receipt_id: UUID
    claims: dict[str, Any]
    status: str
    proven: dict[str, Any]  # of its inferences: count and root

    @property
    def agrees(self) -> bool:
        """Whether it says of the end and of the calls what this page does."""
        claimed = self.claims.get("status"), self.claims.get("inferences")
        return claimed == (self.status, self.proven)


@dataclass(frozen=True)
class Bucket:
    label: str
    tokens: int
    share: Decimal | None  # of all tokens, in percent


BUCKETS = [
    ("Input, from no cache", "input_tokens"),
    ("Read from a cache", "cache_read_tokens"),
    ("Written to a cache, for 5 minutes", "cache_write_5m_tokens"),
    ("Written to a cache, for an hour", "cache_write_1h_tokens"),
    ("Output", "output_tokens"),
]


@dataclass(frozen=True)
class ShownStep:
    step: Step

    @property
    def duration(self) -> str:
        return as_duration(self.step.duration_ms)

    @property
    def result(self) -> str:
        result = self.step.result
        if result is None or isinstance(result, str):
            return result or ""
        return json.dumps(result, ensure_ascii=False)

    @property
    def is_counted(self) -> bool:
        """Whether its cost is the run's, and not that of a call counted already."""
        return self.step.action != Step.Action.LLM_INFERENCE


@dataclass(frozen=True)
class Lists:
    calls: list[ShownCall]
    next_cursor: str | None
    is_cut: bool
    failures: list[ShownCall]
    final: dict[str, Any] | None


@dataclass(frozen=True)
class Raw:
    text: str
    is_whole: bool


@dataclass(frozen=True)
class RunPage:
    """A run; `check_sequence` counts through however many calls it has."""

    run: Orchestration
    filter: CallFilter = field(default_factory=CallFilter)
    steps_after: int = 0
    check_sequence: bool = False

    @cached_property
    def row(self) -> RunRow:
        return RunRow(self.run)

    @cached_property
    def adjustment(self) -> Decimal:
        return self.run.adjustment()

    @property
    def adjusted(self) -> Decimal:
        return self.run.total_cost + self.adjustment

    @property
    def error(self) -> dict[str, str]:
        """Of a failed, cancelled or timed out run: code and message."""
        return (self.run.ending or {}).get("error") or {}

    @property
    def is_partial(self) -> bool:
        """Whether what is added up here leaves out the run's first calls."""
        return self.run.inference_count > RECENT

    @property
    def recent_limit(self) -> int:
        return RECENT

    @cached_property
    def _recent(self) -> Rows:
        return recent_calls(self.run)

    @cached_property
    def callers(self) -> Callers:
        return who_called(self._recent) if self.run.inference_count else Callers()

    @cached_property
    def timeline(self) -> Timeline | None:
        spans = spans_of_calls(self._recent, self.callers) if self.callers.calls else []
        spans += spans_of_steps(self.run, self.steps, self.callers)
        if not spans:
            return None
        return draw(
            self._drawn_from,
            self.run.ended_at or timezone.now(),
            spans,
            self.run.total_cost,
            self.run.budget,
        )

    @property
    def _drawn_from(self) -> datetime:
        return (self.is_partial and self.callers.first_at) or self.run.started_at

    @cached_property
    def sequence(self) -> Sequence | None:
        told = self._told_sequence
        if told is None:
            return None
        return Sequence(**{**told, "duplicates": list(told["duplicates"])})

    @cached_property
    def _told_sequence(self) -> dict[str, Any] | None:
        if not self.run.inference_count or self.is_uncounted:
            return None
        return sequence_of(self.run.tenant_id, self.run.pk)

    @property
    def is_uncounted(self) -> bool:
        """Whether there are too many calls to count through them unasked."""
        return self.is_partial and not self.check_sequence

    @cached_property
    def _steps(self) -> tuple[list[Step], bool]:
        rows = Step.objects.filter(
            tenant_id=self.run.tenant_id,
            orchestration_id=self.run.pk,
            step_number__gt=self.steps_after,
        )
        if not self.run.step_count:
            return [], False
        return cut(rows.order_by("step_number"), MOST_STEPS)

    @property
    def steps(self) -> list[Step]:
        return self._steps[0]

    @property
    def shown_steps(self) -> list[ShownStep]:
        return [ShownStep(step) for step in self.steps]

    @property
    def more_steps_after(self) -> int | None:
        steps, more = self._steps
        return steps[-1].step_number if more else None

    @cached_property
    def _lists(self) -> Lists:
        """Read calls and failures, and all their receipts at once."""
        if not self.run.inference_count:
            page: Any = [], None, False
        else:
            page = self.filter.page(self.run)
        calls, next_cursor, is_cut = page
        failed = failures(self._recent) if self.run.failed_count else []
        ids = {call.receipt_id for call in [*calls, *failed]}
        if self.run.receipt_id:
            ids.add(self.run.receipt_id)
        entries = entries_of(ids) if ids else {}
        return Lists(
            shown(calls, entries),
            next_cursor,
            is_cut,
            shown(failed, entries),
            entries.get(self.run.receipt_id) if self.run.receipt_id else None,
        )

    @property
    def calls(self) -> list[ShownCall]:
        return self._lists.calls

    @property
    def next_cursor(self) -> str | None:
        return self._lists.next_cursor

    @property
    def is_cut(self) -> bool:
        """Whether a filter ran out of calls to look through before all were seen."""
        return self._lists.is_cut

    @property
    def failures(self) -> list[ShownCall]:
        return self._lists.failures

    @property
    def final_receipt(self) -> FinalReceipt | None:
        if not self.run.receipt_id:
            return None
        return FinalReceipt(
            self.run.receipt_id, self._lists.final or {}, self.run.status, self._proven
        )

    @cached_property
    def _proven(self) -> dict[str, Any]:
        proven: dict[str, Any] = summary(self.run)["inferences"]
        return proven

    @property
    def tokens(self) -> int:
        return total_tokens(self.run)

    @property
    def buckets(self) -> list[Bucket]:
        return [
            Bucket(label, count, _percent(count, self.tokens))
            for label, name in BUCKETS
            if (count := getattr(self.run, name))
        ]

    @property
    def budget_left(self) -> Decimal | None:
        """What is left, less than nothing where a budget was passed."""
        budget = self.run.budget
        return None if budget is None else budget - self.run.total_cost

    @property
    def budget_over(self) -> Decimal:
        return max(-(self.budget_left or Decimal(0)), Decimal(0))

    @property
    def budget_used(self) -> Decimal | None:
        budget = self.run.budget
        return _percent(self.run.total_cost, budget) if budget is not None else None

    @cached_property
    def raw(self) -> Raw:
        """The answer of GET /v1/orchestrations/{id}, unless it is a very long one."""
        is_whole = not (self.is_uncounted or self.steps_after or self._steps[1])
        if not is_whole:
            return Raw(_indented(summary(self.run)), is_whole=False)
        text = _indented(
            whole_of(self.run, self.adjustment, self.steps, self._told_sequence)
        )
        if len(text) <= RAW_LIMIT:
            return Raw(text, is_whole=True)
        return Raw(_indented(summary(self.run))[:RAW_LIMIT], is_whole=False)


def _percent(part: Decimal | int, whole: Decimal | int) -> Decimal | None:
    return round(Decimal(part) * 100 / Decimal(whole), 1) if whole else None


def _indented(answer: dict[str, Any]) -> str:
    text = encode({"success": True, **answer})
    return msgspec.json.format(text, indent=2).decode()
