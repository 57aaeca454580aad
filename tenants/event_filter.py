"""The filters of access events, for the page and the API alike."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import QuerySet

from lucid.api.pagination import DEFAULT_LIMIT, Limit, decode_id_cursor
from lucid.api.uuid7 import earliest
from tenants.models import AccessEvent

END_OF_TIME = 253_402_300_799  # of the year 9999, in Unix seconds
# An event gets its id, which rows are ordered by, a little before its time.
SLACK = timedelta(minutes=1)

UnixTime = Annotated[int, msgspec.Meta(ge=0, le=END_OF_TIME)]


class EventFilter(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The query of GET /v1/audit/events; `from` and `to` are Unix seconds.

    `actor` is an e-mail address, or the prefix of an API key.
    """

    limit: Limit = DEFAULT_LIMIT
    cursor: str | None = None
    since: UnixTime | None = None
    until: UnixTime | None = None
    actor: str | None = None
    action: str | None = None
    object_kind: str | None = None
    object_id: str | None = None

    def newest(self, tenant_id: UUID) -> QuerySet[AccessEvent]:
        """Return the tenant's events that pass, the newest first."""
        conditions = {
            "actor_name": self.actor,
            "action": self.action,
            "object_kind": self.object_kind,
            "object_id": self.object_id,
            "id__lt": None if self.cursor is None else decode_id_cursor(self.cursor),
            **self._times(),
        }
        given = {name: value for name, value in conditions.items() if value is not None}
        rows = AccessEvent.objects.filter(tenant=tenant_id, **given)
        return rows.order_by("-id")

    def _times(self) -> dict[str, Any]:
        """Bound the times, and the ids too: those the index is ordered by."""
        bounds: dict[str, Any] = {}
        if self.since is not None:
            start = datetime.fromtimestamp(self.since, UTC)
            first = max(self.since - SLACK.total_seconds(), 0)
            bounds |= {"recorded_at__gte": start, "id__gte": earliest(first)}
        if self.until is not None:  # the whole of that second
            end = datetime.fromtimestamp(self.until, UTC).replace(microsecond=999_999)
            last = self.until + SLACK.total_seconds()
            bounds |= {"recorded_at__lte": end, "id__lte": earliest(last)}
        return bounds
