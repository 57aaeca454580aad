"""Where the first page leads to, for whom."""

from dataclasses import dataclass
from typing import Any

from orchestrations.costs import Period
from tenants.page_access import Member
from tenants.roles import Right

YES = "yes"  # as filters of calls have it


@dataclass(frozen=True)
class Doors:
    """The pages behind the numbers of a period; "" where a person may not go."""

    member: Member
    period: Period

    def page(self, name: str, right: Right, *names: Any, **query: Any) -> str:
        if not self.member.may(right):
            return ""
        return self.member.address(name, *names, **query)

    def of_period(self, name: str, right: Right, **query: Any) -> str:
        days = {"from": self.period.first, "to": self.period.last}
        return self.page(name, right, **days, **query)

    def calls(self, which: str) -> str:
        """Return the page of the calls that are `failed` or `unpriced`."""
        return self.of_period("calls", Right.READ_COSTS, **{which: YES})
