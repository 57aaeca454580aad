"""What a batch of the ledger does to orchestrations and to the rollups.

One `OrchestrationBooks` for each batch: it reads the runs that the batch is about,
decides in order what happens to each, and writes the rows that belong with the
receipts. All of it stands under the lock of the log's row, as every write to a
tenant's runs does, so a run cannot end while a call is recorded in it, and a budget
is looked at and spent in one go.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
from django.utils import timezone

from lucid.api.errors import ApiError, not_found
from orchestrations.models import NOBODY, Orchestration, Step
from orchestrations.money import from_nanocents, plain
from orchestrations.refusals import (
    beyond_exactness,
    ended_otherwise,
    not_running,
    over_budget,
    too_many_steps,
)
from orchestrations.rollups import Rollups
from orchestrations.tables import (
    FIND_ADJUSTMENTS,
    FIND_COSTS,
    FIND_RUNS,
    FIND_SPEND,
    FOUND,
    INSERT_ADJUSTMENTS,
    INSERT_INFERENCES,
    INSERT_RUNS,
    INSERT_STEPS,
    RUN,
    RUN_ENDING,
    RUN_ID,
    RUN_TOTALS,
    SET_ENDINGS,
    SET_EXPECTED_TOTALS,
    SET_TOTALS,
    SIGNS,
    STEP,
    TOKENS,
)
from orchestrations.usage import Tokens
from orchestrations.work import (
    Call,
    End,
    NewPrice,
    Perform,
    Record,
    Reprice,
    Scope,
    Start,
    Work,
)
from receipts import canonical
from receipts.canonical import MAX_INTEGER
from receipts.columns import Columns
from receipts.entry import Entry, make_entry
from receipts.ledger import Logged, Page
from receipts.merkle import Frontier, leaf_hash
from receipts.rows import Find, Row, Write

Status = Orchestration.Status

MEMORY_LIMIT = 10_000  # runs; some 20 MB


@dataclass(slots=True)
class Run:
    """An orchestration as the transaction found it, and what becomes of it."""

    row: dict[str, Any]
    is_new: bool = False
    is_changed: bool = False
    has_ended: bool = False
    leaves: list[bytes] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)  # SPENT_BY and a sum
    spent_here: dict[Row, int] = field(default_factory=lambda: defaultdict(int))
    expected: Row = ()  # SIGNS, of a run that was remembered and not looked at

    @property
    def is_running(self) -> bool:
        return bool(self.row["status"] == Status.RUNNING)

    @property
    def total_cost(self) -> int:
        return int(self.row["cost"] + self.row["step_cost"])

    def total_tokens_with(self, call: Call) -> int:
        tokens = Tokens(**{name: self.row[name] for name in TOKENS})
        return tokens.total + call.tokens.total

    def costs_by(self) -> list[tuple[Row, int]]:
        """Return what its calls cost, those of this batch too, by SPENT_BY."""
        before = [(row[:-1], int(row[-1])) for row in self.costs]
        return [*before, *self.spent_here.items()]

    def is_of(self, scope: Scope) -> bool:
        owner = self.row["tenant_id"], self.row["mode"]
        return owner == (scope.tenant_id, scope.mode)

    def frontier(self) -> Frontier:
        """Take the leaves into the frontier and return it."""
        size = self.row["inference_count"] - len(self.leaves)
        frontier = Frontier.from_bytes(size, bytes(self.row["frontier"]))
        frontier = frontier.append(self.leaves)
        self.leaves.clear()
        self.row["frontier"] = frontier.to_bytes()
        return frontier


class OrchestrationBooks:
    """Implements `receipts.ledger.Books`; `keep` answers rows, Logged, or ApiError."""

    # Runs as this process last wrote them. Touched by whoever leads the group
    # commit, one thread at a time.
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
        self._lookups: list[tuple[Find, list[Row]]] = []

    def lookups(self, works: Sequence[Work]) -> list[tuple[Find, Sequence[Row]]]:
        runs, months, costs = set(), set(), set()
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
            if isinstance(work, End):
                costs.add((work.scope.tenant_id, work.orchestration_id))
            elif work.scope.month_limit is not None:
                months.add(self._month(work.scope))
        wanted: tuple[tuple[Find, set[Any]], ...] = (
            (FIND_RUNS, runs),
            (FIND_SPEND, months),
            (FIND_COSTS, costs),
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
        for row in rows.get(FIND_COSTS, []):
            self._runs[row[0]].costs.append(row[1:])

    def recall(self, works: Sequence[Work]) -> bool:
        for work in works:
            if not isinstance(work, Record) or work.scope.month_limit is not None:
                return False
            name = work.orchestration_id
            if not name or name in self._runs:
                continue
            row = self._memory.get(name)
            if row is None:
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
                return [self._start(work)]
            case Record():
                return self._record(work, page)
            case Perform():
                return [self._perform(work)]
            case End():
                return [self._end(work, page)]
            case Reprice():
                return [self._reprice(work.scope, item, page) for item in work.prices]

    def _start(self, work: Start) -> dict[str, Any]:
        totals = dict.fromkeys(RUN_TOTALS, 0) | {"frontier": b""}
        ending = dict.fromkeys(RUN_ENDING) | {"status": Status.RUNNING.value}
        row = work.row | ending | totals
        self._runs[row["id"]] = Run(row, is_new=True)
        return row

    def _run(self, work: Record | Perform | End) -> Run | None:
        run = self._runs.get(work.orchestration_id)
        return run if run and run.is_of(work.scope) else None

    # Calls and steps

    def _record(self, work: Record, page: Page) -> list[Any]:
        run = self._run(work)
        results: list[Any] = []
        for call in work.calls:
            refusal = self._refusal(work.scope, work.orchestration_id, run)
            if refusal is None and run and run.total_tokens_with(call) > MAX_INTEGER:
                refusal = beyond_exactness()
            result: Any
            if refusal is None:
                result = page.place(call.entry)
                if isinstance(result, Logged) and not result.replayed:
                    self._count(work, run, call, result)
            else:
                # What was recorded before the end is still there to be asked for.
                result = (call.named and page.replay_of(call.entry)) or refusal
            results.append(result)
        return results

    def _refusal(self, scope: Scope, name: str, run: Run | None) -> ApiError | None:
        if name:
            if run is None:
                return not_found("orchestration")
            if not run.is_running:
                return not_running(run.row["status"])
            if run.row["expires_at"] <= self._now:
                return not_running(Status.TIMEOUT)
            budget = run.row["budget"]
            if budget is not None and run.total_cost >= budget:
                return over_budget("the orchestration", budget)
        if scope.month_limit is not None:
            month = self._month(scope)
            spent = self._spent.get(month, 0) + self._rollups.months[month]
            if spent >= scope.month_limit:
                return over_budget("this month", scope.month_limit)
        return None

    def _count(self, work: Record, run: Run | None, call: Call, logged: Logged) -> None:
        scope, entry = work.scope, call.entry
        recorded_at = datetime.fromtimestamp(entry.members["issued_at"], UTC)
        tokens = call.tokens.counts()
        cost, list_price = call.cost or 0, call.list_price or 0
        self._inferences.append(
            (
                entry.receipt_id,
                scope.tenant_id,
                scope.mode,
                work.orchestration_id,
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
                *tokens.values(),
            )
        )
        sums = {**tokens, "calls": 1, "cost": cost, "list_price": list_price}
        sums["unpriced"] = int(call.cost is None)
        sums["flagged"] = int(call.flagged)
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
        for name in (*TOKENS, "cost", "list_price"):
            row[name] += sums[name]

    def _perform(self, work: Perform) -> Any:
        run = self._run(work)
        if refusal := self._refusal(work.scope, work.orchestration_id, run):
            return refusal
        assert run is not None  # noqa: S101  else it was refused
        if run.row["step_count"] >= run.row["max_steps"]:
            return too_many_steps(run.row["max_steps"])
        run.is_changed = True
        run.row["step_count"] += 1
        step = work.step | {
            "tenant_id": work.scope.tenant_id,
            "orchestration_id": work.orchestration_id,
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
        self._rollups.add_usage(work.scope, self._now, by, None, sums)
        return step

    def _month(self, scope: Scope) -> Row:
        return scope.tenant_id, scope.mode, self._now.date().replace(day=1)

    # Endings

    def _end(self, work: End, page: Page) -> Any:
        run = self._run(work)
        if run is None:
            return not_found("orchestration")
        row = run.row
        if not run.is_running:
            same = row["status"] == work.status and _is_same(row["ending"], work.ending)
            return row if same or work.due else ended_otherwise(row["status"])
        is_over = row["expires_at"] <= self._now
        if work.due and not is_over:
            return row
        if is_over and not work.due:
            # It ended before this request: the caller settles that, and asks again.
            return not_running(Status.TIMEOUT)
        row["status"], row["ending"] = work.status, work.ending
        row["ended_at"] = row["expires_at"] if is_over else self._now
        entry = _ending_entry(run, page)
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
            (INSERT_STEPS, self._steps),
            (INSERT_ADJUSTMENTS, self._adjustments),
            *self._rollups.writes(),
        ]


def _columns(run: Run, columns: Columns) -> Row:
    return tuple(run.row[name] for name in columns)


def _is_same(stored: Any, claimed: Any) -> bool:
    """Compare JSON: to Python 1 is True, and PostgreSQL gives 1e25 back as digits."""
    written = (
        canonical.dumps(json.loads(msgspec.json.encode(ending), parse_int=float))
        for ending in (stored, claimed)
    )
    return next(written) == next(written)


def _ending_entry(run: Run, page: Page) -> Entry:
    """Sign the final receipt (LEDGER section 1, `orchestration`)."""
    row, frontier = run.row, run.frontier()
    totals: dict[str, Any] = {name: row[name] for name in TOKENS}
    totals |= {
        "cost_cents": _cents(row["cost"]),
        "list_price_cents": _cents(row["list_price"]),
        "unpriced": row["unpriced_count"],
        "contradictory": row["flagged_count"],
        "steps": row["step_count"],
        "step_cost_cents": _cents(row["step_cost"]),
    }
    claims = {
        "orchestration_id": row["id"],
        "agent_id": row["agent_id"],
        "status": row["status"],
        "started_at": int(row["started_at"].timestamp()),
        "ended_at": int(row["ended_at"].timestamp()),
        "totals": totals,
        "inferences": {"count": frontier.size, "root": frontier.root().hex()},
    }
    if row["workflow_id"]:
        claims["workflow_id"] = row["workflow_id"]
    if output_hash := row["ending"].get("output_hash"):
        claims["output_hash"] = output_hash
    if error := row["ending"].get("error"):
        claims["error"] = error
    # Of its own run_id: nobody can take it beforehand and so keep a run from ending.
    return make_entry(page.keyring, "orchestration", f"run_{uuid4().hex}", None, claims)


def _cents(nanocents: int) -> str:
    return plain(from_nanocents(nanocents))
