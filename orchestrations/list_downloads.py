"""Downloads of the lists behind costs, each of which is an access event."""

from tenants import events
from tenants.page_access import PageRequest


def note_download(request: PageRequest, table: str, rows: int) -> None:
    """Note that rows of a list are about to be carried away, and by which filters."""
    query = request.GET.copy()
    query.pop("format", None)
    events.record(
        events.person(request),
        "costs.exported",
        tenant_id=request.member.tenant.pk,
        kind="costs",
        object_id=table,
        after={"table": table, "query": query.urlencode(), "rows": rows},
    )
