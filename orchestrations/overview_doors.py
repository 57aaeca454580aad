"""Where the first page leads to, for whom."""

from dataclasses import dataclass, replace
from typing import Any

from orchestrations.costs import Period
from orchestrations.overview import Entries
from tenants.page_access import Member
from tenants.roles import Right

YES, UNKNOWN = "yes", "unknown"  # as filters of calls have them


@dataclass(frozen=True)
class Doors:
    """The pages behind the numbers of a period; "" where a person may not go."""

    member: Member
    period: Period

    @property
    def previous(self) -> "Doors":
        """The pages behind the numbers of the period before."""
        return replace(self, period=self.period.previous())

    def page(self, name: str, right: Right, *names: Any, **query: Any) -> str:
        if not self.member.may(right):
            return ""
        return self.member.address(name, *names, **query)

    def of_period(self, name: str, right: Right, **query: Any) -> str:
        days = {"from": self.period.first, "to": self.period.last}
        return self.page(name, right, **days, **query)

    def costs(self) -> str:
        return self.of_period("costs", Right.READ_COSTS)

    def calls(self, **which: str) -> str:
        """Return the page of calls: of all, or as of those that `failed="yes"`."""
        return self.of_period("calls", Right.READ_COSTS, **which)

    def ended_runs(self) -> str:
        days = {"ended_from": self.period.first, "ended_to": self.period.last}
        return self.page("orchestrations", Right.READ_RUNS, **days)

    def entries(self, entries: Entries) -> str:
        """Return the list of these entries of the log; "" of none."""
        if not entries.count:
            return ""
        bounds = {"entries_from": entries.first, "entries_to": entries.after - 1}
        return self.page("receipts", Right.READ_RECEIPTS, **bounds)
