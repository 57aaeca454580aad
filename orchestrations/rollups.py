"""What a batch adds to the rollups (`orchestrations.models`, Usage and below)."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from operator import add
from typing import Any

from orchestrations.bands import COSTS, LATENCIES
from orchestrations.tables import (
    ADD_DAYS,
    ADD_HOURS,
    ADD_MONTHS,
    ADD_RUN_DAYS,
    ADD_RUN_MONTHS,
    ADD_SPEND,
    DAY,
    NAMES,
    SPENT_BY,
    SUMS,
)
from orchestrations.work import NewPrice, Scope
from receipts.rows import Row, Write


class Rollups:
    def __init__(self) -> None:
        self._hours: dict[Row, dict[str, int]] = {}
        self._corrections: dict[Row, list[int]] = defaultdict(lambda: [0, 0])
        self._run_days: dict[Row, list[int]] = defaultdict(lambda: [0, 0])
        self.months: dict[Row, int] = defaultdict(int)  # MONTH -> spent

    def add_usage(
        self,
        scope: Scope,
        at: datetime,
        by: Row,
        latency_ms: int | None,
        sums: dict[str, int],
    ) -> None:
        band = -1 if latency_ms is None else LATENCIES.band(latency_ms)
        hour = (scope.tenant_id, scope.mode, at.date(), *by, at.hour, band)
        _add_sums(self._hours, hour, sums)
        month = (scope.tenant_id, scope.mode, at.date().replace(day=1))
        self.months[month] += sums.get("cost", 0) + sums.get("step_cost", 0)

    def correct(self, scope: Scope, price: NewPrice, *, priced_first: bool) -> None:
        """Count that an inference costs something else from now on."""
        day = price.recorded_at.date()
        corrections = self._corrections[
            (scope.tenant_id, scope.mode, day, *price.spent_by)
        ]
        corrections[0] += price.after - (price.before or 0)
        corrections[1] += priced_first

    def count_run(
        self, scope: Scope, run: dict[str, Any], costs_by: list[tuple[Row, int]]
    ) -> None:
        """Count an ended run in each of the ways in which runs can be grouped."""
        costs: dict[tuple[str, str], int] = defaultdict(int)
        costs["", ""] = run["cost"] + run["step_cost"]
        for values, cost in costs_by:
            for name, value in zip(SPENT_BY, values, strict=True):
                dimension = name.removesuffix("_id") if name == "api_key_id" else name
                costs[dimension, str(value)] += cost
        day = run["ended_at"].date()
        for (dimension, value), cost in costs.items():
            band, status = COSTS.band(cost), run["status"]
            key = scope.tenant_id, scope.mode, day, dimension, value, status, band
            counted = self._run_days[key]
            counted[0] += 1
            counted[1] += cost

    def writes(self) -> list[tuple[Write, Sequence[Row]]]:
        days: dict[Row, dict[str, int]] = {}
        for hour, sums in self._hours.items():
            _add_sums(days, hour[: len(DAY)], sums)
        for day in self._corrections:
            days.setdefault(day, {})
        day_rows = [
            (*_sums_row(day, sums), *self._corrections.get(day, (0, 0)))
            for day, sums in days.items()
        ]
        months = [(*month, spent) for month, spent in self.months.items() if spent]
        return [
            (ADD_DAYS, day_rows),
            (ADD_MONTHS, _by_month(day_rows)),
            (ADD_HOURS, [_sums_row(*item) for item in self._hours.items()]),
            (ADD_RUN_DAYS, [(*key, *sums) for key, sums in self._run_days.items()]),
            (ADD_RUN_MONTHS, self._run_months()),
            (ADD_SPEND, months),
        ]

    def _run_months(self) -> list[Row]:
        added: dict[Row, list[int]] = defaultdict(lambda: [0, 0])
        for key, (runs, cost) in self._run_days.items():
            tenant_id, mode, day, dimension, value, _, band = key
            month = added[tenant_id, mode, day.replace(day=1), dimension, value, band]
            month[0] += runs
            month[1] += cost
        return [(*key, *sums) for key, sums in added.items()]


def _by_month(day_rows: Sequence[Row]) -> list[Row]:
    """Add up rows of UsageDay to those of UsageMonth; their third column is the day."""
    months: dict[Row, Row] = {}
    for tenant_id, mode, day, *others in day_rows:
        names, sums = others[: len(NAMES)], tuple(others[len(NAMES) :])
        month = (tenant_id, mode, day.replace(day=1), *names)
        known = months.get(month)
        months[month] = sums if known is None else tuple(map(add, known, sums))
    return [(*month, *sums) for month, sums in months.items()]


def _add_sums(to: dict[Row, dict[str, int]], key: Row, sums: dict[str, int]) -> None:
    known = to.setdefault(key, {})
    for name, value in sums.items():
        if value:
            known[name] = known.get(name, 0) + value


def _sums_row(key: Row, sums: dict[str, int]) -> Row:
    return (*key, *[sums.get(name, 0) for name in SUMS])
