"""Finding steps that cost something, newest first: the records behind step costs.

They alone are in an index, by their time. An agent or a workflow is looked for in so
many of them and no more, from the newest day on which it had any, as the rollups know.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet, Sum

from lucid.api.pagination import EPOCH, MICROSECOND, cut, decode_pair, encode_pair
from orchestrations.models import Orchestration, Step, UsageDay

LOOKED_THROUGH = 5_000

# As the index has it. What an LLM call cost is counted with the call.
COSTLY = Q(cost__gt=0) & ~Q(action=Step.Action.LLM_INFERENCE.value)


class Place(NamedTuple):
    """Of a step in the list; 0: after all steps of that moment."""

    recorded_at: datetime
    step_id: int

    @classmethod
    def read(cls, cursor: str) -> "Place":
        """Return the place of a cursor. Raises the 400 for what is none."""
        microseconds, step_id = decode_pair(cursor)
        try:
            return cls(EPOCH + microseconds * MICROSECOND, step_id)
        except OverflowError:
            return cls(EPOCH, 0)  # no step was recorded so late, nor so early

    @property
    def cursor(self) -> str:
        return encode_pair((self.recorded_at - EPOCH) // MICROSECOND, self.step_id)

    @property
    def older(self) -> Q:
        earlier = Q(recorded_at__lt=self.recorded_at) | Q(pk__lt=self.step_id)
        return Q(recorded_at__lte=self.recorded_at) & earlier


@dataclass(frozen=True)
class Found:
    steps: list[Step]
    next_cursor: str | None  # older ones come after it; None: there are none
    looked_back_to: datetime | None = None  # where the page ends before it is full


@dataclass(frozen=True)
class StepSearch:
    """None of a name: any. "" is without."""

    tenant_id: UUID
    mode: str
    agent_id: str | None = None
    workflow_id: str | None = None
    first: date | None = None  # UTC days by our clock, as rollups have them
    last: date | None = None

    def cost(self) -> Decimal:
        """Return what all steps that pass cost, from the rollups alone."""
        cost: Decimal = self._days().aggregate(cost=Sum("step_cost", default=0))["cost"]
        return cost

    def page(self, place: Place | None, limit: int) -> Found:
        days = self._days_with_any(place)
        if days is None:
            return Found([], None)
        first, last = days
        steps = Step.objects.filter(
            COSTLY,
            tenant_id=self.tenant_id,
            mode=self.mode,
            recorded_at__gte=datetime.combine(first, time.min, UTC),
            recorded_at__lte=datetime.combine(last, time.max, UTC),
        )
        if place is not None:
            steps = steps.filter(place.older)
        end = self._end_of_window(steps)
        if end is not None:
            steps = steps.filter(recorded_at__gte=end)
        newest = steps.filter(self._passing).order_by("-recorded_at", "-pk")
        found, more = cut(newest, limit)
        if more:
            return Found(found, Place(found[-1].recorded_at, found[-1].pk).cursor)
        if end is not None:
            return Found(found, Place(end, 0).cursor, end)
        return Found(found, None)

    @property
    def _names(self) -> dict[str, str]:
        names = {"agent_id": self.agent_id, "workflow_id": self.workflow_id}
        return {name: value for name, value in names.items() if value is not None}

    @property
    def _passing(self) -> Q:
        names = self._names
        workflow_id = names.pop("workflow_id", None)
        passing = Q(**names)
        if workflow_id is not None:
            runs = Orchestration.objects.filter(
                pk=OuterRef("orchestration_id"), workflow_id=workflow_id
            )
            passing &= Q(Exists(runs))
        return passing

    def _days(self) -> QuerySet[UsageDay]:
        """Return the rollups that have these steps, and nothing of others."""
        bounds = {"day__gte": self.first, "day__lte": self.last}
        given = {name: day for name, day in bounds.items() if day is not None}
        whose: dict[str, Any] = {"tenant_id": self.tenant_id, "mode": self.mode}
        return UsageDay.objects.filter(**whose, **given, **self._names)

    def _days_with_any(self, place: Place | None) -> tuple[date, date] | None:
        days = self._days().filter(step_cost__gt=0)
        if place is not None:
            days = days.filter(day__lte=place.recorded_at.date())
        found = days.aggregate(first=Min("day"), last=Max("day"))
        return None if found["first"] is None else (found["first"], found["last"])

    def _end_of_window(self, steps: QuerySet[Step]) -> datetime | None:
        """Return the time of the last step to look at, if there are others after it."""
        if not self._names:
            return None
        times = steps.order_by("-recorded_at").values_list("recorded_at", flat=True)
        last = list(times[LOOKED_THROUGH - 1 : LOOKED_THROUGH + 1])
        return last[0] if len(last) > 1 else None
