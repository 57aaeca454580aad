"""Do the rollups equal the sum of the records? Everything is counted again.

In one snapshot of the database, while calls go on being recorded, and in order of
time: what is held in memory at once is the rows of a day.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery, Value

from orchestrations.models import (
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
from orchestrations.recount import (
    DAY_SUMS,
    HOUR_SUMS,
    Addition,
    Call,
    Names,
    RunsOfDay,
    RunsOfMonth,
    RunTotals,
    StepTaken,
    UsageOfDay,
    UsageOfMonth,
    month_of,
    of_call,
    of_step,
)
from receipts.models import Receipt

CHUNK = 2000  # rows fetched at a time
RUNS_AT_ONCE = 200
# What names a row of a table beside its day, and the sums in it.
RUN_PLACE = ("dimension", "value", "status", "cost_band")
RUN_MONTH_PLACE = ("dimension", "value", "cost_band")
RUN_SUMS = ("runs", "cost")
DAY_PLACE = Names._fields
HOUR_PLACE = ("hour", *Names._fields, "latency_band")

Advance = Callable[[int], Any]
Rows = Mapping[Any, tuple[Any, ...]]  # sums by what they are of


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that is not what its records add up to."""

    table: str
    key: dict[str, Any]
    expected: dict[str, Any]  # the columns that differ
    found: dict[str, Any]


class _Different(Exception):
    def __init__(
        self,
        model: type,
        key: dict[str, Any],
        expected: dict[str, Any],
        found: dict[str, Any],
    ) -> None:
        super().__init__(model, key)
        self.difference = Difference(model.__name__, key, expected, found)


@contextmanager
def snapshot() -> Iterator[None]:
    """Read the database as it is at one moment, without keeping anybody from it."""
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    # Django's transactions take SQLite's write lock from their beginning.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def count_records(tenant_id: UUID, mode: str) -> dict[str, int]:
    books = _Books(tenant_id, mode)
    return {
        "inferences": books.calls.count(),
        "steps": books.steps.count(),
        "orchestrations": books.runs.count(),
    }


def check_rollups(tenant_id: UUID, mode: str, advance: Advance) -> Difference | None:
    """Return the first difference; `advance` hears of each record that is done."""
    with snapshot():
        try:
            books = _Books(tenant_id, mode)
            books.check_owners()
            books.check_usage(advance)
            books.check_runs(advance)
        except _Different as different:
            return different.difference
    return None


class _Books:
    """The records and the rollups of one mode of one tenant."""

    def __init__(self, tenant_id: UUID, mode: str) -> None:
        self._tenant_id = tenant_id
        self._whose = {"tenant_id": tenant_id, "mode": mode}
        self.calls = Inference.objects.filter(**self._whose)
        self.runs = Orchestration.objects.filter(**self._whose)
        self._run = self.runs.filter(pk=OuterRef("orchestration_id"))
        self.steps = Step.objects.filter(**self._whose)

    def check_owners(self) -> None:
        """Check that what names a run or a call names one that is there."""
        inference = self.calls.filter(pk=OuterRef("inference_id"))
        for rows, name, owner in (
            (self.calls.exclude(orchestration_id=""), "orchestration_id", self._run),
            (self.steps, "orchestration_id", self._run),
            (Adjustment.objects.filter(**self._whose), "inference_id", inference),
        ):
            lost = rows.filter(~Exists(owner)).first()
            if lost:
                named = {name: getattr(lost, name)}
                raise _Different(type(lost), {"pk": lost.pk}, named, {name: None})

    def check_usage(self, advance: Advance) -> None:
        months: dict[date, UsageOfMonth] = defaultdict(UsageOfMonth)
        streams = (
            self._usage(advance),
            self._stored(UsageDay, DAY_PLACE, DAY_SUMS),
            self._stored(UsageHour, HOUR_PLACE, HOUR_SUMS),
        )
        nothing = UsageOfDay()
        for day, (usage, day_rows, hour_rows) in _aligned(*streams):
            usage = usage or nothing
            months[month_of(day)].add(usage)
            expected = usage.day_rows, usage.hour_rows
            _compare(UsageDay, day, DAY_PLACE, DAY_SUMS, expected[0], day_rows or {})
            _compare(
                UsageHour, day, HOUR_PLACE, HOUR_SUMS, expected[1], hour_rows or {}
            )
        of_months = {month: usage.rows for month, usage in months.items()}
        self._check_months(UsageMonth, DAY_PLACE, DAY_SUMS, of_months)
        self._check_spend({month: usage.spent for month, usage in months.items()})

    def _check_months(
        self,
        model: type,
        place: tuple[str, ...],
        sums: tuple[str, ...],
        expected: Mapping[date, Rows],
    ) -> None:
        found = dict(self._stored(model, place, sums, "month"))
        for month in sorted(expected.keys() | found.keys()):
            rows = expected.get(month, {}), found.get(month, {})
            _compare(model, month, place, sums, *rows, "month")

    def _check_spend(self, months: Mapping[date, Decimal]) -> None:
        rows = MonthSpend.objects.filter(**self._whose)
        found = dict(rows.values_list("month", "spent"))
        for month in sorted(months.keys() | found.keys()):
            spent = months.get(month, Decimal(0)), found.get(month, Decimal(0))
            if spent[0] != spent[1]:
                columns = ({"spent": amount} for amount in spent)
                raise _Different(MonthSpend, {"month": month}, *columns)

    def _usage(self, advance: Advance) -> Iterator[tuple[date, UsageOfDay]]:
        additions = heapq.merge(
            map(of_call, self._calls()),
            map(of_step, self._steps()),
            key=lambda addition: addition.recorded_at,
        )
        for day, same_day in groupby(additions, _day_of):
            usage = UsageOfDay()
            for addition in same_day:
                usage.add(addition)
                advance(1)
            yield day, usage

    def _calls(self) -> Iterator[Call]:
        adjustments = Adjustment.objects.filter(
            tenant_id=self._tenant_id, inference_id=OuterRef("receipt_id")
        ).order_by("-recorded_at", "-receipt_id")
        rows = self.calls.annotate(adjusted=Subquery(adjustments.values("after")[:1]))
        ordered = rows.order_by("recorded_at").values_list(*Call._fields)
        return map(Call._make, ordered.iterator(chunk_size=CHUNK))

    def _steps(self) -> Iterator[StepTaken]:
        rows = self.steps.annotate(
            workflow_id=Subquery(self._run.values("workflow_id"))
        )
        ordered = rows.order_by("recorded_at").values_list(*StepTaken._fields)
        return map(StepTaken._make, ordered.iterator(chunk_size=CHUNK))

    def _stored(
        self,
        model: Any,
        place: tuple[str, ...],
        sums: tuple[str, ...],
        time: str = "day",
    ) -> Iterator[tuple[date, Rows]]:
        """Read a rollup table: for each day, sums by what they are of."""
        rows = model.objects.filter(**self._whose).order_by(time)
        values = rows.values_list(time, *place, *sums).iterator(chunk_size=CHUNK)
        end = 1 + len(place)
        for day, same_day in groupby(values, lambda row: row[0]):
            yield day, {row[1:end]: row[end:] for row in same_day}

    def check_runs(self, advance: Advance) -> None:
        months: dict[date, RunsOfMonth] = defaultdict(RunsOfMonth)
        expected = self._run_days(advance)
        found = self._stored(RunDay, RUN_PLACE, RUN_SUMS)
        for day, (runs, stored) in _aligned(expected, found):
            rows = runs.rows if runs else {}
            _compare(RunDay, day, RUN_PLACE, RUN_SUMS, rows, stored or {})
            months[month_of(day)].add(rows)
        of_months = {month: runs.rows for month, runs in months.items()}
        self._check_months(RunMonth, RUN_MONTH_PLACE, RUN_SUMS, of_months)
        for _ in self._added_up(self.runs.filter(ended_at=None), advance):
            pass  # still running: only their totals are checked

    def _run_days(self, advance: Advance) -> Iterator[tuple[date, RunsOfDay]]:
        ended = self.runs.exclude(ended_at=None).order_by("ended_at", "pk")
        by_day = groupby(self._added_up(ended, advance), _day_of_end)
        for day, same_day in by_day:
            runs = RunsOfDay()
            for run, totals in same_day:
                runs.add(totals, run.status)
            yield day, runs

    def _added_up(
        self, runs: "QuerySet[Orchestration]", advance: Advance
    ) -> Iterator[tuple[Orchestration, RunTotals]]:
        """Add up what runs consist of, and check their own totals."""
        reading = runs.defer("request", "ending").iterator(chunk_size=RUNS_AT_ONCE)
        while chunk := list(islice(reading, RUNS_AT_ONCE)):
            totals = self._totals([run.pk for run in chunk])
            for run in chunk:
                _compare_totals(run, totals[run.pk].columns())
                yield run, totals[run.pk]
            advance(len(chunk))

    def _totals(self, ids: list[str]) -> dict[str, RunTotals]:
        totals = {pk: RunTotals() for pk in ids}
        of_runs = {"tenant_id": self._tenant_id, "orchestration_id__in": ids}
        receipt = Receipt.objects.filter(pk=OuterRef("receipt_id"))
        calls = Inference.objects.filter(**of_runs).order_by(
            "orchestration_id", "leaf_index"
        )
        hashed = calls.annotate(hash=Subquery(receipt.values("receipt_hash")[:1]))
        columns = ("orchestration_id", "hash", *Call._fields[:-1])
        rows = hashed.values_list(*columns).iterator(chunk_size=CHUNK)
        for pk, same_run in groupby(rows, lambda row: row[0]):
            # Of a receipt that is missing there is no hash, so the tree is another.
            totals[pk].add_calls(
                (Call(*row[2:]), bytes(row[1] or b"")) for row in same_run
            )
        steps = Step.objects.filter(**of_runs)
        taken = steps.annotate(workflow_id=Value("")).values_list(
            "orchestration_id", *StepTaken._fields
        )
        for pk, *columns in taken:
            totals[pk].add_step(StepTaken(*columns))
        return totals


def _day_of(addition: Addition) -> date:
    return addition.recorded_at.date()


def _day_of_end(added_up: tuple[Orchestration, RunTotals]) -> date:
    day: date = added_up[0].ended_at.date()  # type: ignore[union-attr]
    return day


def _aligned(
    *streams: Iterator[tuple[date, Any]],
) -> Iterator[tuple[date, list[Any]]]:
    """Walk through streams in order of days; None where one has nothing of a day."""
    heads = [next(stream, None) for stream in streams]
    while days := [head[0] for head in heads if head]:
        day = min(days)
        yield day, [head[1] if head and head[0] == day else None for head in heads]
        for place, (head, stream) in enumerate(zip(heads, streams, strict=True)):
            if head and head[0] == day:
                heads[place] = next(stream, None)


def _compare(
    model: type,
    day: date,
    place: tuple[str, ...],
    columns: tuple[str, ...],
    expected: Rows,
    found: Rows,
    time: str = "day",
) -> None:
    """Compare a day's rows; one that is not there is one of zeros."""
    if expected == found:
        return
    zeros = (0,) * len(columns)
    for names in sorted(expected.keys() | found.keys(), key=str):
        pair = expected.get(names, zeros), found.get(names, zeros)
        if pair[0] != pair[1]:
            key = {time: day, **dict(zip(place, names, strict=True))}
            sums = (dict(zip(columns, row, strict=True)) for row in pair)
            raise _Different(model, key, *_differing(*sums))


def _compare_totals(run: Orchestration, expected: dict[str, Any]) -> None:
    if run.ended_at is not None:
        expected["final_cost"] = expected["cost"] + expected["step_cost"]
    found = {name: getattr(run, name) for name in expected}
    for columns in (expected, found):
        columns["frontier"] = bytes(columns["frontier"]).hex()
    if expected != found:
        raise _Different(Orchestration, {"id": run.pk}, *_differing(expected, found))


def _differing(
    expected: dict[str, Any], found: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in expected if expected[name] != found[name]]
    return {n: expected[n] for n in names}, {n: found[n] for n in names}
