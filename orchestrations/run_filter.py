"""The filters of runs, for the page and the API alike."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import ExpressionWrapper, F, QuerySet
from django.utils import timezone

from lucid.api.errors import invalid
from lucid.api.pagination import DEFAULT_LIMIT, Limit, cut
from orchestrations.claims import ID, ID_PREFIX, StatusName
from orchestrations.models import Orchestration
from orchestrations.money import CentsField, parse_cents
from orchestrations.ulid import ALPHABET, LENGTH, earliest

# What no index knows, like a status, is looked for in so many runs and no more.
LOOKED_THROUGH = 10_000
# A run gets its id, which rows are ordered by, a little before its time.
SLACK = timedelta(minutes=1)

RunCursor = Annotated[str, msgspec.Meta(pattern=rf"\A[{ALPHABET}]{{{LENGTH}}}\Z")]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
Rows = QuerySet[Orchestration]


@dataclass(frozen=True)
class Found:
    """A page of runs. Where a filter ran out of rows to look through, it says so."""

    runs: list[Orchestration]
    next_cursor: str | None
    looked_back_to: datetime | None = None


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
        total = ExpressionWrapper(F("cost") + F("step_cost"), CentsField())
        wanted = self._along_an_index(tenant_id, mode).annotate(total=total)
        return wanted.filter(**self._looked_for()).order_by("-id")

    def page(self, tenant_id: UUID, mode: str) -> Found:
        """Return a page of them, from as few rows as can be answered for at once."""
        runs = self.newest(tenant_id, mode)
        oldest = self._oldest(tenant_id, mode)
        if oldest is not None:
            runs = runs.filter(pk__gte=oldest)
        page, more = cut(runs, self.limit)
        if more:
            return Found(page, cursor_of(page[-1].pk))
        if oldest is not None:
            return Found(page, cursor_of(oldest), started_at(oldest))
        return Found(page, None)

    def _oldest(self, tenant_id: UUID, mode: str) -> str | None:
        """Return the id of the last run looked at, if there are others before it."""
        if not self._looked_for():
            return None
        runs = self._along_an_index(tenant_id, mode).order_by("-id")
        # Ids alone, which are in the index that is walked along.
        ids = runs.values_list("pk", flat=True)
        last = list(ids[LOOKED_THROUGH - 1 : LOOKED_THROUGH + 1])
        return last[0] if len(last) > 1 else None

    def _along_an_index(self, tenant_id: UUID, mode: str) -> Rows:
        conditions = {
            "id__lt": self.cursor and ID_PREFIX + self.cursor,
            "agent_id": self.agent_id,
            "workflow_id": self.workflow_id if self.agent_id is None else None,
            **self._times(),
        }
        given = {name: value for name, value in conditions.items() if value is not None}
        return Orchestration.objects.filter(tenant_id=tenant_id, mode=mode, **given)

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

    def _looked_for(self) -> dict[str, Any]:
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


def is_cursor(text: str) -> bool:
    return bool(re.fullmatch(ID, ID_PREFIX + text))


def cursor_of(run_id: str) -> str:
    return run_id.removeprefix(ID_PREFIX)


def started_at(run_id: str) -> datetime:
    return Orchestration.objects.values_list("started_at", flat=True).get(pk=run_id)


def _first_id(moment: datetime, slack: timedelta) -> str:
    return ID_PREFIX + earliest(moment.timestamp() + slack.total_seconds())
