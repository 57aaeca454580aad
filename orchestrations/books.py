"""What a batch of the ledger does to orchestrations and to the rollups.

One `OrchestrationBooks` for each batch: it reads the runs that the batch is about,
decides in order what happens to each, and writes the rows that belong with the
receipts. All of it stands under the lock of the log's row, as every write to a
tenant's runs does, so a run cannot end while a call is recorded in it, and a budget
is looked at and spent in one go.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeGuard
from uuid import UUID

import msgspec
from django.utils import timezone

from lucid.api.errors import ApiError, not_found
from lucid.columns import Columns
from orchestrations.models import NOBODY, NOT_COMPLETED, Orchestration, Step
from orchestrations.refusals import (
    at_capacity,
    beyond_exactness,
    ended_otherwise,
    not_running,
    over_budget,
    over_budget_with,
    too_many_steps,
)
from orchestrations.rollups import Rollups
from orchestrations.run_state import Run, ending_entry
from orchestrations.tables import (
    ATTEMPT,
    DELETE_ATTEMPTS,
    FIND_ADJUSTMENTS,
    FIND_COSTS,
    FIND_RUNS,
    FIND_SPEND,
    FIND_UNDER_WAY,
    FOUND,
    INSERT_ADJUSTMENTS,
    INSERT_ATTEMPTS,
    INSERT_INFERENCES,
    INSERT_RUNS,
    INSERT_SALTS,
    INSERT_STEPS,
    RUN,
    RUN_ENDING,
    RUN_ID,
    RUN_TOTALS,
    SALTS,
    SET_ENDINGS,
    SET_EXPECTED_TOTALS,
    SET_TOTALS,
    SIGNS,
    STEP,
    TOKENS,
)
from orchestrations.under_way import UnderWay, log_of
from orchestrations.work import (
    Begin,
    Call,
    End,
    NewPrice,
    Perform,
    Record,
    Reprice,
    Scope,
    Settle,
    Start,
    Work,
)
from receipts import canonical
from receipts.canonical import MAX_INTEGER
from receipts.ledger import Logged, Page
from receipts.merkle import leaf_hash
from receipts.rows import Find, Row, Write

Status = Orchestration.Status

MEMORY_LIMIT = 10_000  # runs; some 20 MB
RUN_IS_OVER = "run is over"  # answers a Settle


class OrchestrationBooks:
    """Implements `receipts.ledger.Books`; `keep` answers rows, Logged, or ApiError."""

    # Runs as this process last wrote them. Whole entries are set and removed, so
    # threads need no lock.
    _memory: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self) -> None:
        self._now = timezone.now()
        self._runs: dict[str, Run] = {}
        self._spent: dict[Row, int] = {}
        self._inferences: list[Row] = []
        self._steps: list[Row] = []
        self._rollups = Rollups()
        self._adjusted: dict[UUID, tuple[UUID, int]] = {}
        self._adjustments: list[Row] = []
        self._under_way = UnderWay()
        self._begun: list[tuple[Row, Row]] = []  # attempts and their salts
        self._settled: list[Row] = []
        self._lookups: list[tuple[Find, list[Row]]] = []

    @staticmethod
    def insertion_of(starts: Sequence[dict[str, Any]]) -> tuple[Write, list[Row]]:
        """Return how runs are begun outside of the ledger's transaction."""
        rows = map(_new_row, starts)
        return INSERT_RUNS, [tuple(row[name] for name in RUN) for row in rows]

    @classmethod
    def remember_begun(cls, starts: Sequence[dict[str, Any]]) -> None:
        """Note that such runs are durable; may be called by any thread."""
        for row in map(_new_row, starts):
            cls._memory[row["id"]] = {column: row[column] for column in FOUND}

    def lookups(self, works: Sequence[Work]) -> list[tuple[Find, Sequence[Row]]]:
        runs, months, costs, logs = set(), set(), set(), set()
        priced: set[Row] = set()
        for work in works:
            if isinstance(work, Start):
                continue
            if isinstance(work, Reprice):
                owner = work.scope.tenant_id
                priced.update((owner, price.inference_id) for price in work.prices)
                continue
            if work.orchestration_id:
                runs.add((work.orchestration_id,))
            if isinstance(work, Begin):
                logs.add(log_of(work.scope))
            if isinstance(work, End) or (isinstance(work, Settle) and work.ending):
                costs.add((work.scope.tenant_id, work.orchestration_id))
            elif work.scope.month_limit is not None:
                months.add(self._month(work.scope))
        wanted: tuple[tuple[Find, set[Any]], ...] = (
            (FIND_RUNS, runs),
            (FIND_SPEND, months),
            (FIND_COSTS, costs),
            (FIND_UNDER_WAY, logs),
            (FIND_ADJUSTMENTS, priced),
        )
        self._lookups = [(find, list(keys)) for find, keys in wanted if keys]
        return list(self._lookups)

    def take(self, found: list[list[Row]]) -> None:
        rows = dict(zip((find for find, _ in self._lookups), found, strict=True))
        for row in rows.get(FIND_RUNS, []):
            named = dict(zip(FOUND, row, strict=True))
            self._runs[named["id"]] = Run(named)
        for row in rows.get(FIND_SPEND, []):
            self._spent[row[:-1]] = row[-1]
        for inference_id, *latest in sorted(rows.get(FIND_ADJUSTMENTS, [])):
            # Receipt ids are in the order of time, so the last one stays.
            self._adjusted[inference_id] = latest[0], latest[1]
        self._under_way.take(rows.get(FIND_UNDER_WAY, []))
        for row in rows.get(FIND_COSTS, []):
            self._runs[row[0]].costs.append(row[1:])

    def recall(self, works: Sequence[Work]) -> bool:
        for work in works:
            if not _is_recallable(work):
                return False
            name = work.orchestration_id
            if not name or name in self._runs:
                continue
            row = self._memory.get(name)
            if row is None or not _is_without_costs(work, row):
                return False
            signs = tuple(row[sign] for sign in SIGNS)
            self._runs[name] = Run(dict(row), expected=signs)
        return True

    def remember(self) -> None:
        if len(self._memory) >= MEMORY_LIMIT:
            self._memory.clear()
        for name, run in self._runs.items():
            if run.is_running:
                # Not what the caller handed in, which may be large.
                self._memory[name] = {column: run.row[column] for column in FOUND}
            else:
                self._memory.pop(name, None)

    def keep(self, work: Work, page: Page) -> list[Any]:
        match work:
            case Start():
                return [self._start(work.row)]
            case Record():
                return self._record(work, page)
            case Begin():
                return [self._begin(work)]
            case Settle():
                return [self._settle(work, page)]
            case Perform():
                return [self._perform(work)]
            case End():
                return [self._end(work, page)]
            case Reprice():
                return [self._reprice(work.scope, item, page) for item in work.prices]

    def _start(self, start: dict[str, Any]) -> dict[str, Any]:
        row = _new_row(start)
        self._runs[row["id"]] = Run(row, is_new=True)
        return row

    def _run(self, scope: Scope, name: str) -> Run | None:
        run = self._runs.get(name)
        return run if run and run.is_of(scope) else None

    # Calls and steps

    def _record(self, work: Record, page: Page) -> list[Any]:
        run = self._run(work.scope, work.orchestration_id)
        results: list[Any] = []
        for call in work.calls:
            refusal = self._refusal(work.scope, work.orchestration_id, run)
            if refusal is None and run and run.total_tokens_with(call) > MAX_INTEGER:
                refusal = beyond_exactness()
            result: Any
            if refusal is None:
                result = page.place(call.entry)
                if isinstance(result, Logged) and not result.replayed:
                    self._count(work.scope, run, call, result)
            else:
                # What was recorded before the end is still there to be asked for.
                result = (call.named and page.replay_of(call.entry)) or refusal
            results.append(result)
        return results

    def _refusal(self, scope: Scope, name: str, run: Run | None) -> ApiError | None:
        if name:
            if refusal := self._refusal_of(run):
                return refusal
            assert run is not None  # noqa: S101  else it was refused
            budget = run.row["budget"]
            if budget is not None and run.total_cost >= budget:
                return over_budget("the orchestration", budget)
        limit = scope.month_limit
        if limit is not None and self._month_spent(scope) >= limit:
            return over_budget("this month", limit)
        return None

    def _refusal_of(self, run: Run | None) -> ApiError | None:
        if run is None:
            return not_found("orchestration")
        if not run.is_running:
            return not_running(run.row["status"])
        return not_running(Status.TIMEOUT) if self._is_over(run) else None

    def _is_over(self, run: Run) -> bool:
        return bool(run.row["expires_at"] <= self._now)

    def _month_spent(self, scope: Scope) -> int:
        month = self._month(scope)
        return int(self._spent.get(month, 0) + self._rollups.months[month])

    def _count(self, scope: Scope, run: Run | None, call: Call, logged: Logged) -> None:
        entry = call.entry
        recorded_at = datetime.fromtimestamp(entry.members["issued_at"], UTC)
        tokens = call.tokens.counts()
        cost, list_price = call.cost or 0, call.list_price or 0
        self._inferences.append(
            (
                entry.receipt_id,
                scope.tenant_id,
                scope.mode,
                run.row["id"] if run else "",
                logged.leaf_index,
                recorded_at,
                call.model,
                call.provider,
                call.agent_id,
                call.workflow_id,
                call.api_key_id,
                call.sequence,
                call.latency_ms,
                call.cost,
                call.list_price,
                call.cost_source,
                call.flagged,
                call.outcome,
                call.served_model,
                *tokens.values(),
            )
        )
        sums = {**tokens, "calls": 1, "cost": cost, "list_price": list_price}
        sums["unpriced"] = int(call.cost is None)
        sums["flagged"] = int(call.flagged)
        sums["failed"] = int(call.outcome in NOT_COMPLETED)
        if call.latency_ms is not None:
            sums |= {"latency_ms": call.latency_ms, "timed": 1}
        spent_by = (
            call.model,
            call.provider,
            call.agent_id,
            call.workflow_id,
            call.api_key_id,
        )
        self._rollups.add_usage(scope, recorded_at, spent_by, call.latency_ms, sums)
        if run is None:
            return
        run.is_changed = True
        run.leaves.append(leaf_hash(entry.receipt_hash))
        run.spent_here[spent_by] += cost
        row = run.row
        row["inference_count"] += 1
        row["unpriced_count"] += sums["unpriced"]
        row["flagged_count"] += sums["flagged"]
        row["failed_count"] += sums["failed"]
        for name in (*TOKENS, "cost", "list_price"):
            row[name] += sums[name]

    # Calls that the gateway makes

    def _begin(self, work: Begin) -> ApiError | None:
        if refusal := self._refusal_to_begin(work):
            return refusal
        if work.run:
            self._start(work.run)
        self._under_way.begin(work.scope, work.attempt)
        attempt = tuple(work.attempt[name] for name in ATTEMPT)
        salts = tuple(work.salts[name] for name in SALTS)
        self._begun.append((attempt, salts))
        return None

    def _refusal_to_begin(self, work: Begin) -> ApiError | None:
        """Refuse a call that may cost more than is left when all under way have."""
        scope, attempt, under_way = work.scope, work.attempt, self._under_way
        if under_way.calls(scope, attempt["provider"]) >= work.concurrency:
            return at_capacity(attempt["provider"], work.concurrency)
        name, most = work.orchestration_id, attempt["reserved"]
        if name and not work.run:
            run = self._run(scope, name)
            if refusal := self._refusal_of(run):
                return refusal
            assert run is not None  # noqa: S101  else it was refused
            spent = run.total_cost + under_way.reserved(scope, name)
            budget = run.row["budget"]
            if budget is not None and not _has_room(budget, spent, most):
                return over_budget_with("the orchestration", budget, spent, most)
        limit = scope.month_limit
        if limit is not None:
            spent = self._month_spent(scope) + under_way.reserved(scope)
            if not _has_room(limit, spent, most):
                return over_budget_with("this month", limit, spent, most)
        return None

    def _settle(self, work: Settle, page: Page) -> Any:
        name, call = work.orchestration_id, work.call
        run = self._run(work.scope, name) if name else None
        is_lost = bool(name) and self._refusal_of(run) is not None
        if call and (is_lost or (run and run.total_tokens_with(call) > MAX_INTEGER)):
            # It may have been kept by the first of two tries, before the run's end.
            return page.replay_of(call.entry) or RUN_IS_OVER
        self._settled.append((work.attempt["receipt_id"],))
        self._under_way.end(work.scope, work.attempt)
        logged = page.place(call.entry) if call else None
        if call and isinstance(logged, Logged) and not logged.replayed:
            self._count(work.scope, run, call, logged)
            if work.step and run:
                self._take_step(work.scope, run, work.step)
        if work.ending and run and run.is_running:
            status, ending = work.ending
            self._end(End(work.scope, name, status, ending), page)
        return logged

    def _perform(self, work: Perform) -> Any:
        run = self._run(work.scope, work.orchestration_id)
        if refusal := self._refusal(work.scope, work.orchestration_id, run):
            return refusal
        assert run is not None  # noqa: S101  else it was refused
        if run.row["step_count"] >= run.row["max_steps"]:
            return too_many_steps(run.row["max_steps"])
        return self._take_step(work.scope, run, work.step)

    def _take_step(
        self, scope: Scope, run: Run, claims: dict[str, Any]
    ) -> dict[str, Any]:
        run.is_changed = True
        run.row["step_count"] += 1
        step = claims | {
            "tenant_id": scope.tenant_id,
            "mode": scope.mode,
            "orchestration_id": run.row["id"],
            "step_number": run.row["step_count"],
            "recorded_at": self._now,
        }
        step["agent_id"] = step["agent_id"] or run.row["agent_id"]
        self._steps.append(tuple(step[name] for name in STEP))
        # The cost of an LLM call is its inference's, or it would count twice.
        is_call = step["action"] == Step.Action.LLM_INFERENCE
        cost = 0 if is_call else step["cost"] or 0
        run.row["step_cost"] += cost
        by = ("", "", step["agent_id"], run.row["workflow_id"], NOBODY)
        sums = {"steps": 1, "step_cost": cost}
        self._rollups.add_usage(scope, self._now, by, None, sums)
        return step

    def _month(self, scope: Scope) -> Row:
        return scope.tenant_id, scope.mode, self._now.date().replace(day=1)

    # Endings

    def _end(self, work: End, page: Page) -> Any:
        run = self._run(work.scope, work.orchestration_id)
        if run is None:
            return not_found("orchestration")
        row = run.row
        if not run.is_running:
            same = row["status"] == work.status and _is_same(row["ending"], work.ending)
            return row if same or work.due else ended_otherwise(row["status"])
        is_over = self._is_over(run)
        if work.due and not is_over:
            return row
        if is_over and not work.due:
            # It ended before this request: the caller settles that, and asks again.
            return not_running(Status.TIMEOUT)
        row["status"], row["ending"] = work.status, work.ending
        row["ended_at"] = row["expires_at"] if is_over else self._now
        row["final_cost"] = run.total_cost
        entry = ending_entry(run, page)
        row["receipt_id"] = entry.receipt_id
        page.place(entry)
        run.has_ended = run.is_changed = True
        self._rollups.count_run(work.scope, row, run.costs_by())
        return row

    # Pricing anew

    def _reprice(self, scope: Scope, price: NewPrice, page: Page) -> bool:
        adjusted = self._adjusted.get(price.inference_id)
        if adjusted and adjusted[1] != price.before:
            return False  # somebody priced it since it was read
        entry = price.entry
        page.place(entry)
        self._adjusted[price.inference_id] = entry.receipt_id, price.after
        self._adjustments.append(
            (
                entry.receipt_id,
                scope.tenant_id,
                scope.mode,
                price.inference_id,
                price.orchestration_id,
                datetime.fromtimestamp(entry.members["issued_at"], UTC),
                price.before,
                price.after,
            )
        )
        first = price.was_unpriced and adjusted is None
        self._rollups.correct(scope, price, priced_first=first)
        return True

    # Writing

    def writes(self) -> list[tuple[Write, Sequence[Row]]]:
        new = [run for run in self._runs.values() if run.is_new]
        old = [run for run in self._runs.values() if not run.is_new and run.is_changed]
        for run in (*new, *old):
            run.frontier()
        looked_at = [run for run in old if not run.expected]
        recalled = [run for run in old if run.expected]
        ended = [run for run in old if run.has_ended]
        return [
            (INSERT_RUNS, [_columns(run, RUN) for run in new]),
            (SET_TOTALS, [_columns(run, RUN_TOTALS | RUN_ID) for run in looked_at]),
            (
                SET_EXPECTED_TOTALS,
                [_columns(r, RUN_TOTALS | RUN_ID) + r.expected for r in recalled],
            ),
            (SET_ENDINGS, [_columns(run, RUN_ENDING | RUN_ID) for run in ended]),
            (INSERT_INFERENCES, self._inferences),
            (INSERT_ATTEMPTS, [attempt for attempt, _ in self._begun]),
            (INSERT_SALTS, [salts for _, salts in self._begun]),
            (DELETE_ATTEMPTS, self._settled),
            (INSERT_STEPS, self._steps),
            (INSERT_ADJUSTMENTS, self._adjustments),
            *self._rollups.writes(),
        ]


def _is_recallable(work: Work) -> TypeGuard[Record | Settle]:
    if isinstance(work, Settle):
        return True
    return isinstance(work, Record) and work.scope.month_limit is None


def _is_without_costs(work: Record | Settle, row: dict[str, Any]) -> bool:
    """Say whether a run that the work may end has no calls but its own attempts, of
    which those before cost nothing: else its costs have to be looked up.
    """
    if isinstance(work, Record) or work.ending is None:
        return True
    return bool(row["inference_count"] == work.attempt["number"] - 1)


def _has_room(limit: int, spent: int, most: int) -> bool:
    """Say whether a call of at most that fits; one that costs nothing has to, too."""
    return spent < limit and spent + most <= limit


def _new_row(start: dict[str, Any]) -> dict[str, Any]:
    totals = dict.fromkeys(RUN_TOTALS, 0) | {"frontier": b""}
    ending = dict.fromkeys(RUN_ENDING) | {"status": Status.RUNNING.value}
    return start | ending | totals


def _columns(run: Run, columns: Columns) -> Row:
    return tuple(run.row[name] for name in columns)


def _is_same(stored: Any, claimed: Any) -> bool:
    """Compare JSON: to Python 1 is True, and PostgreSQL gives 1e25 back as digits."""
    written = (
        canonical.dumps(json.loads(msgspec.json.encode(ending), parse_int=float))
        for ending in (stored, claimed)
    )
    return next(written) == next(written)
