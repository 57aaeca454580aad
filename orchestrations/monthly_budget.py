"""A tenant's budget of the month, and what is spent of it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from lucid.charts import Share
from orchestrations.models import Budget, MonthSpend


@dataclass(frozen=True)
class MonthlyBudget:
    month: date
    limit: Decimal
    spent: Decimal

    @property
    def left(self) -> Decimal:
        return max(self.limit - self.spent, Decimal(0))

    @property
    def over(self) -> Decimal:
        return max(self.spent - self.limit, Decimal(0))

    @property
    def is_used_up(self) -> bool:
        return self.spent >= self.limit

    @property
    def percent(self) -> int:
        """Whole ones, rounded down: a little that is left is something."""
        return int(100 * self.spent / self.limit) if self.limit else 100

    @property
    def share(self) -> Share:
        """What is spent, drawn; of a budget of nothing, all is."""
        part, whole = (self.spent, self.limit) if self.limit else (1, 1)
        share = Share("", part, whole, self.is_used_up)
        return Share(f"{share.percent} % spent", part, whole, self.is_used_up)


def budget_of(tenant_id: UUID, mode: str) -> MonthlyBudget | None:
    """Return this month's budget, of the calendar month in UTC; None without one."""
    month = timezone.now().date().replace(day=1)
    spend = MonthSpend.objects.filter(
        tenant_id=OuterRef("tenant_id"), mode=OuterRef("mode"), month=month
    )
    budgets = Budget.objects.filter(tenant_id=tenant_id, mode=mode)
    budget = budgets.annotate(spent=Subquery(spend.values("spent"))).first()
    if budget is None:
        return None
    return MonthlyBudget(month, budget.limit, budget.spent or Decimal(0))
