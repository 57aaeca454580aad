"""Which calls a page of costs is about: by the names that rollups have, and others."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from orchestrations.models import NOBODY, NOT_COMPLETED, Adjustment, Outcome

NAMES = ("model", "provider", "agent_id", "workflow_id", "api_key_id")


@dataclass(frozen=True)
class CallFilter:
    """None of a name: any. Of a name that calls may lack, "" and NOBODY are without."""

    model: str | None = None
    provider: str | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    api_key_id: UUID | None = None
    orchestration_id: str | None = None
    cost_source: str | None = None
    unpriced: bool = False  # by now: nor priced later
    failed: bool = False
    unknown: bool = False  # whether it failed: a server ended meanwhile
    first: date | None = None  # UTC days by our clock, as rollups have them
    last: date | None = None

    @property
    def names(self) -> dict[str, Any]:
        """The part of it that rollups can be asked for, without the days."""
        named = {name: getattr(self, name) for name in NAMES}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def counted(self) -> str:
        """The sum in the rollups that is zero wherever no call passes."""
        if self.unpriced:
            return "unpriced"
        return "failed" if self.failed else "calls"

    @property
    def is_summed(self) -> bool:
        """Whether rollups know how many calls pass, and what they cost."""
        parts = self.unpriced + self.failed
        others = self.orchestration_id or self.cost_source or self.unknown
        return not (others or parts > 1)

    @property
    def days(self) -> Q:
        """The days, of a rollup."""
        days = Q()
        if self.first:
            days &= Q(day__gte=self.first)
        if self.last:
            days &= Q(day__lte=self.last)
        return days

    @property
    def times(self) -> Q:
        """The days, of calls."""
        times = Q()
        if self.first:
            times &= Q(recorded_at__gte=midnight(self.first))
        if self.last:
            times &= Q(recorded_at__lt=midnight(self.last + timedelta(days=1)))
        return times

    @property
    def passing(self) -> Q:
        """What of a call's own passes, whenever it was made."""
        passing = Q(**self.names)
        if self.orchestration_id:
            passing &= Q(orchestration_id=self.orchestration_id)
        if self.cost_source:
            passing &= Q(cost_source=self.cost_source)
        if self.failed:
            passing &= Q(outcome__in=NOT_COMPLETED)
        if self.unknown:
            passing &= Q(outcome=Outcome.UNKNOWN.value)
        if self.unpriced:
            adjusted = Adjustment.objects.filter(
                tenant_id=OuterRef("tenant_id"), inference_id=OuterRef("pk")
            )
            passing &= Q(~Exists(adjusted), cost=None)
        return passing

    @property
    def is_any(self) -> bool:
        """Whether every call of the days passes."""
        return not (self.names or self.cost_source or self.failed or self.unpriced)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


WITHOUT: dict[str, Any] = {"agent_id": "", "workflow_id": "", "api_key": NOBODY}
