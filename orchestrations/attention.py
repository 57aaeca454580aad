"""What of a tenant needs somebody's attention, each found from few rows."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from django.db.models import Count, Max, Min

from orchestrations.models import Inference, Orchestration, Outcome
from orchestrations.monthly_budget import MonthlyBudget, budget_of
from orchestrations.overview import Whose
from orchestrations.run_filter import newest_of

NEWEST_RUNS = 200
MOST_CALLS = 5_000  # of those runs that are looked through: some 15 ms
NEAR = Decimal("0.8")  # of a budget
NAMED = 3  # of several, on the page
MOST_COUNTED = 1000


@dataclass(frozen=True)
class Gaps:
    """Ended runs whose agents counted calls that no receipt is of."""

    looked_at: int
    runs: list[str]

    @property
    def named(self) -> list[str]:
        return self.runs[:NAMED]


def sequence_gaps(whose: Whose) -> Gaps:
    """Look through the newest runs that have ended: others may yet report."""
    newest = _newest_ended(whose)
    calls = Inference.objects.filter(
        tenant_id=whose[0],
        orchestration_id__in=newest,
        sequence__isnull=False,
        # So says the index; of more than a hundred ids PostgreSQL does not see it.
    ).exclude(orchestration_id="")
    counted = (
        calls.order_by()
        .values_list("orchestration_id")
        .annotate(
            distinct=Count("sequence", distinct=True),
            first=Min("sequence"),
            last=Max("sequence"),
        )
    )
    # Counters start at 0 or 1, so what is before the first is missing as well.
    gaps = {
        run
        for run, distinct, first, last in counted
        if last - min(1, first) + 1 > distinct
    }
    return Gaps(len(newest), [run for run in newest if run in gaps])


def _newest_ended(whose: Whose) -> list[str]:
    """Return ids, the newest first: as many as have few enough calls together."""
    tenant_id, mode = whose
    newest = newest_of(tenant_id, mode)
    rows = newest.values_list("id", "status", "inference_count")
    left, ids = MOST_CALLS, []
    for run, status, calls in rows[:NEWEST_RUNS]:
        if status != Orchestration.Status.RUNNING and 0 < calls <= left:
            left -= calls
            ids.append(run)
    return ids


def budget_near_its_end(whose: Whose) -> MonthlyBudget | None:
    budget = budget_of(*whose)
    is_near = budget and budget.spent >= NEAR * budget.limit
    return budget if is_near else None


def unknown_calls(whose: Whose, since: date) -> int:
    """Return how many calls of the gateway nobody knows the end of: MOST_COUNTED of
    them at most.
    """
    tenant_id, mode = whose
    calls = Inference.objects.filter(
        tenant_id=tenant_id,
        mode=mode,
        outcome=Outcome.UNKNOWN,
        recorded_at__gte=datetime.combine(since, time(), UTC),
    )
    return calls.order_by()[:MOST_COUNTED].count()
