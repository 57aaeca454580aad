"""The filters of runs that pages and the API have in common."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import ExpressionWrapper, F, QuerySet
from django.utils import timezone

from lucid.api.errors import invalid
from lucid.api.pagination import DEFAULT_LIMIT, Limit
from lucid.isolation import require, working_for
from orchestrations.claims import ID_PREFIX, StatusName
from orchestrations.models import NOBODY, Orchestration
from orchestrations.money import CentsField, parse_cents
from orchestrations.ulid import ALPHABET, LENGTH, earliest

# A run gets its id, which rows are ordered by, a little before its time.
SLACK = timedelta(minutes=1)

RunCursor = Annotated[str, msgspec.Meta(pattern=rf"\A[{ALPHABET}]{{{LENGTH}}}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Rows = QuerySet[Orchestration]


class RunFilter(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The query of GET /v1/orchestrations; `from` and `to` bound the start."""

    limit: Limit = DEFAULT_LIMIT
    cursor: RunCursor | None = None
    status: StatusName | None = None
    agent_id: str | None = None
    workflow_id: str | None = None
    since: Time | None = None
    until: Time | None = None
    min_cost_cents: str | None = None

    def newest(self, tenant_id: UUID, mode: str) -> Rows:
        """Return the runs that pass, the newest first."""
        runs = newest_of(tenant_id, mode)
        if self.cursor is not None:
            runs = runs.filter(id__lt=ID_PREFIX + self.cursor)
        return passing(runs, self.indexed | self.looked_for)

    @property
    def indexed(self) -> dict[str, Any]:
        """Return what an index knows, which is in the order of the ids."""
        conditions = {
            "agent_id": self.agent_id,
            "workflow_id": self.workflow_id if self.agent_id is None else None,
            **self._times(),
        }
        return {name: value for name, value in conditions.items() if value is not None}

    def _times(self) -> dict[str, Any]:
        """Bound the times, and the ids too: those the indexes are ordered by."""
        bounds: dict[str, Any] = {}
        if self.since is not None:
            bounds["started_at__gte"] = self.since
            bounds["id__gte"] = _first_id(self.since, -SLACK)
        if self.until is not None:
            bounds["started_at__lte"] = self.until
            bounds["id__lte"] = _first_id(self.until, SLACK)
        return bounds

    @property
    def looked_for(self) -> dict[str, Any]:
        """Return what no index, or not the one that is walked along, knows."""
        conditions: dict[str, Any] = {
            "status": self.status,
            "workflow_id": self.workflow_id if self.agent_id is not None else None,
            "total__gte": self._min_cost(),
        }
        if self.status == Orchestration.Status.RUNNING.value:
            # Those that could not all be settled at once have ended all the same.
            conditions["expires_at__gt"] = timezone.now()
        return {name: value for name, value in conditions.items() if value is not None}

    def _min_cost(self) -> Decimal | None:
        if self.min_cost_cents is None:
            return None
        try:
            return parse_cents(self.min_cost_cents)
        except ValueError as error:
            raise invalid({"min_cost_cents": [str(error)]}) from None


def newest_of(tenant_id: UUID, mode: str) -> Rows:
    """Return runs, the newest first, in the very order of an index of each tenant's.

    They are those of the tenant or of nobody. If all had to be of one tenant, this
    order would be that of the ids alone to PostgreSQL, which then might walk back
    through the ids of all tenants, past all that is newer than a quiet one's runs.
    Raises NoTenant as any manager does.
    """
    require(tenant_id)
    with working_for(tenant_id, NOBODY):
        runs = Orchestration.objects.filter(mode=mode)
    return runs.order_by("tenant_id", "mode", "-id")


def passing(runs: Rows, conditions: dict[str, Any]) -> Rows:
    """Return those that pass, with their `total`, which is one of the conditions."""
    total = ExpressionWrapper(F("cost") + F("step_cost"), CentsField())
    return runs.annotate(total=total).filter(**conditions)


def cursor_of(run_id: str) -> str:
    return run_id.removeprefix(ID_PREFIX)


def _first_id(moment: datetime, slack: timedelta) -> str:
    return ID_PREFIX + earliest(moment.timestamp() + slack.total_seconds())
