"""What each record adds to the rollups, derived from the record alone.

Written apart from the books that it is compared with, and without a database.
Decimals are cents. UsageDay, UsageHour, UsageMonth, RunDay, RunMonth and MonthSpend in
the models say what the rows mean.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from orchestrations.bands import COSTS, LATENCIES
from receipts.merkle import Frontier, leaf_hash

NOBODY = UUID(int=0)
UNTIMED = -1
NANOCENTS = 10**9
ZERO = Decimal(0)
NOT_COMPLETED = ("failed", "cut", "unknown")

TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)
HOUR_SUMS = (
    "calls",
    *TOKENS,
    "cost",
    "list_price",
    "unpriced",
    "flagged",
    "failed",
    "latency_ms",
    "timed",
    "steps",
    "step_cost",
)
DAY_SUMS = (*HOUR_SUMS, "adjustment", "priced_later")


class Names(NamedTuple):
    """What usage is grouped by."""

    model: str
    provider: str
    agent_id: str
    workflow_id: str
    api_key_id: UUID


class Call(NamedTuple):
    """Columns of an Inference; `adjusted` is what it was priced anew, the last time."""

    recorded_at: datetime
    model: str
    provider: str
    agent_id: str
    workflow_id: str
    api_key_id: UUID
    input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    latency_ms: int | None
    cost: Decimal | None
    list_price: Decimal | None
    flagged: bool
    outcome: str = ""
    adjusted: Decimal | None = None

    @property
    def names(self) -> Names:
        return Names(*self[1:6])


class StepTaken(NamedTuple):
    """Columns of a Step, and the workflow of its run."""

    recorded_at: datetime
    agent_id: str
    workflow_id: str
    action: str
    cost: Decimal | None

    @property
    def own_cost(self) -> Decimal:
        """A call's cost is counted with the call, and not with the step as well."""
        return ZERO if self.action == "llm_inference" else self.cost or ZERO


class Addition(NamedTuple):
    """What one record adds: to which rows, and the DAY_SUMS."""

    recorded_at: datetime
    names: Names
    latency_band: int
    sums: tuple[Any, ...]


def of_call(call: Call) -> Addition:
    timed = call.latency_ms is not None
    cost = call.cost or ZERO
    sums = (
        1,
        *call[6:12],
        cost,
        call.list_price or ZERO,
        int(call.cost is None),
        int(call.flagged),
        int(call.outcome in NOT_COMPLETED),
        call.latency_ms or 0,
        int(timed),
        0,
        ZERO,
        ZERO if call.adjusted is None else call.adjusted - cost,
        int(call.adjusted is not None and call.cost is None),
    )
    band = UNTIMED if call.latency_ms is None else LATENCIES.band(call.latency_ms)
    return Addition(call.recorded_at, call.names, band, sums)


def of_step(step: StepTaken) -> Addition:
    names = Names("", "", step.agent_id, step.workflow_id, NOBODY)
    nothing = (0,) * (HOUR_SUMS.index("steps"))
    sums = (*nothing, 1, step.own_cost, ZERO, 0)
    return Addition(step.recorded_at, names, UNTIMED, sums)


class UsageOfDay:
    """The rows of one day in UsageDay and UsageHour."""

    def __init__(self) -> None:
        self.day_rows: dict[Names, tuple[Any, ...]] = {}
        self.hour_rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.spent = ZERO

    def add(self, addition: Addition) -> None:
        names, sums = addition.names, addition.sums
        place = (addition.recorded_at.hour, *names, addition.latency_band)
        self.day_rows[names] = _plus(self.day_rows.get(names), sums)
        hourly = sums[: len(HOUR_SUMS)]
        self.hour_rows[place] = _plus(self.hour_rows.get(place), hourly)
        self.spent += sums[HOUR_SUMS.index("cost")]
        self.spent += sums[HOUR_SUMS.index("step_cost")]


class UsageOfMonth:
    """The rows of one month in UsageMonth."""

    def __init__(self) -> None:
        self.rows: dict[Names, tuple[Any, ...]] = {}
        self.spent = ZERO

    def add(self, usage: UsageOfDay) -> None:
        for names, sums in usage.day_rows.items():
            self.rows[names] = _plus(self.rows.get(names), sums)
        self.spent += usage.spent


def _plus(row: tuple[Any, ...] | None, sums: tuple[Any, ...]) -> tuple[Any, ...]:
    if row is None:
        return sums
    return tuple(one + other for one, other in zip(row, sums, strict=True))


RunPlace = tuple[str, str, str, int]  # dimension, value, status, band of costs


class RunTotals:
    """What the calls and steps of one run add up to."""

    def __init__(self) -> None:
        self._calls = (0,) * len(HOUR_SUMS)
        self._count = self._steps = 0
        self._step_cost = ZERO
        self._frontier = Frontier()
        self._costs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)

    def add_calls(self, calls: Iterable[tuple[Call, bytes]]) -> None:
        """Add calls in the order of the log, each with its receipt's hash."""
        self._frontier = self._frontier.append(self._counted(calls))

    def _counted(self, calls: Iterable[tuple[Call, bytes]]) -> Iterator[bytes]:
        for call, receipt_hash in calls:
            sums = of_call(call).sums[: len(HOUR_SUMS)]
            self._calls = _plus(self._calls, sums)
            for name, value in call.names._asdict().items():
                dimension = "api_key" if name == "api_key_id" else name
                self._costs[dimension, str(value)] += call.cost or ZERO
            yield leaf_hash(receipt_hash)

    def add_step(self, step: StepTaken) -> None:
        self._steps += 1
        self._step_cost += step.own_cost

    def columns(self) -> dict[str, Any]:
        """Return the columns of the Orchestration that hold totals."""
        sums = dict(zip(HOUR_SUMS, self._calls, strict=True))
        return {
            "inference_count": sums["calls"],
            **{name: sums[name] for name in TOKENS},
            "cost": sums["cost"],
            "list_price": sums["list_price"],
            "unpriced_count": sums["unpriced"],
            "flagged_count": sums["flagged"],
            "failed_count": sums["failed"],
            "step_count": self._steps,
            "step_cost": self._step_cost,
            "frontier": self._frontier.to_bytes(),
        }

    def run_rows(self, status: str) -> Iterator[tuple[RunPlace, tuple[int, Decimal]]]:
        """Tell for each row of RunDay what the run adds to it when it ends."""
        columns = self.columns()
        costs = {("", ""): columns["cost"] + columns["step_cost"], **self._costs}
        for (dimension, value), cost in costs.items():
            band = COSTS.band(int(cost * NANOCENTS))
            yield (dimension, value, status, band), (1, cost)


class RunsOfDay:
    """The rows of one day in RunDay."""

    def __init__(self) -> None:
        self.rows: dict[RunPlace, tuple[Any, ...]] = {}

    def add(self, totals: RunTotals, status: str) -> None:
        for place, sums in totals.run_rows(status):
            self.rows[place] = _plus(self.rows.get(place), sums)


class RunsOfMonth:
    """The rows of one month in RunMonth."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], tuple[Any, ...]] = {}

    def add(self, of_day: Mapping[RunPlace, tuple[Any, ...]]) -> None:
        for (dimension, value, _, band), sums in of_day.items():
            place = dimension, value, band
            self.rows[place] = _plus(self.rows.get(place), sums)


def month_of(day: date) -> date:
    return day.replace(day=1)
