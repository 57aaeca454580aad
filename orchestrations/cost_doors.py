"""Where the numbers of the page of costs lead to: the records that each is made of."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from orchestrations.cost_groups import Row
from orchestrations.costs import GroupBy, Period, Usage
from tenants.page_access import Member

YES = "yes"
# The filters of calls, as those of runs by a call within them are called.
OF_RUNS = {
    "from": "ended_from",
    "to": "ended_to",
    "model": "call_model",
    "provider": "call_provider",
    "agent_id": "call_agent",
    "workflow_id": "call_workflow",
    "api_key": "call_key",
    "without": "call_without",
}
OF_STEPS = (GroupBy.AGENT, GroupBy.WORKFLOW, GroupBy.DAY)  # that steps have
WITH_LIST_PRICE = ("time", "model", "tokens", "cost", "list_price", "run", "receipt")

Filters = dict[str, Any]


@dataclass(frozen=True)
class RowDoors:
    """Addresses; "" where there is nothing to lead to."""

    calls: str = ""
    unpriced: str = ""
    failed: str = ""
    runs: str = ""
    steps: str = ""
    before: str = ""


@dataclass(frozen=True)
class CostDoors:
    member: Member
    period: Period
    group_by: GroupBy
    by: str  # as addresses have it

    def calls(self, **filters: Any) -> str:
        """Return the address of calls of the period that pass filters."""
        return self._page("calls", _days(self.period) | filters)

    def calls_of(self, row: Row) -> str:
        return self.calls(**(row.filters or {}))

    def calls_between(self, first: date, last: date) -> str:
        return self.calls(**{"from": first, "to": last})

    def steps(self) -> str:
        """Return the address of the steps of the period that cost something."""
        return self._page("cost-steps", _days(self.period))

    def list_prices(self) -> str:
        return f"{self.calls()}&{urlencode({'columns': WITH_LIST_PRICE}, doseq=True)}"

    def of(self, row: Row) -> RowDoors:
        filters = row.filters
        if filters is None:  # of what has no calls, as steps have no model
            steps = self._steps(row.usage, {})
            return RowDoors(steps=steps, before=self._before(row, {}))
        calls = self.calls(**filters)
        return RowDoors(
            calls=calls if row.usage.calls else "",
            unpriced=f"{calls}&unpriced={YES}" if row.usage.still_unpriced else "",
            failed=f"{calls}&failed={YES}" if row.usage.failed else "",
            runs=self._runs(filters) if row.runs and row.runs.count else "",
            steps=self._steps(row.usage, filters),
            before=self._before(row, filters),
        )

    def _runs(self, filters: Filters) -> str:
        asked = _days(self.period) | filters
        named = {OF_RUNS[name]: value for name, value in asked.items()}
        return self._page("orchestrations", named)

    def _steps(self, usage: Usage, filters: Filters) -> str:
        if not usage.step_cost:
            return ""
        own = filters if self.group_by in OF_STEPS else {}
        return self._page("cost-steps", _days(self.period) | own)

    def _before(self, row: Row, filters: Filters) -> str:
        """Return the page of what it cost in the period before: of calls, of steps, or
        of both where it was made of both.
        """
        shift = self.period.length
        days = _days(self.period) | filters
        days |= {name: days[name] - shift for name in ("from", "to")}
        usage = row.earlier or Usage()
        if usage.cost and usage.step_cost:
            return self._page("costs", _of_days(days) | {"by": self.by})
        if usage.step_cost:
            own = days if self.group_by in OF_STEPS else _of_days(days)
            return self._page("cost-steps", own)
        return self._page("calls", days) if usage.calls else ""

    def _page(self, name: str, query: Filters) -> str:
        return self.member.address(name, **query)


def _days(period: Period) -> dict[str, Any]:
    return {"from": period.first, "to": period.last}


def _of_days(query: Filters) -> dict[str, Any]:
    return {name: query[name] for name in ("from", "to")}
