"""Access events over the API: a tenant's own, for its auditors' programs."""

from rest_framework.request import Request

from lucid.api.errors import Code
from lucid.api.openapi import describe
from lucid.api.pagination import cut, encode_id_cursor
from lucid.api.parsing import check_query
from lucid.api.rendering import Answer
from lucid.api.views import ApiView
from tenants import audit_examples
from tenants.authentication import Principal
from tenants.event_filter import EventFilter


class EventList(ApiView):
    scopes = {"GET": "audit:read"}

    @describe(
        "List access events, newest first: who read, verified or changed what",
        query=EventFilter,
        answer=audit_examples.EVENTS,
        errors=[Code.INVALID_REQUEST],
    )
    def get(self, request: Request) -> Answer:
        query = check_query(request.query_params, EventFilter)
        principal: Principal = request.auth  # type: ignore[assignment]  # by HasScope
        page, more = cut(query.newest(principal.tenant_id), query.limit)
        return Answer(
            {
                "success": True,
                "events": [event.as_json() for event in page],
                "next_cursor": encode_id_cursor(page[-1].pk) if more else None,
            }
        )
