"""Every page there is, for tests that look at all of them.

They come from the table of tests/tenants/test_keep_pages_private.py, which no page can
miss. What a page's path has in it (`{run}`) has to be among the names of the site.
"""

from typing import NamedTuple

from tests.tenants.test_keep_pages_private import OF_A_PERSON, OF_A_TENANT


class Shown(NamedTuple):
    path: str
    roles: frozenset[str]  # to whom it is shown; others are told that it is not
    status: int = 200

    def status_for(self, role: str | None) -> int:
        return self.status if role in self.roles else 403


# Files to keep, which no browser shows.
FILES = (".json", ".tlog-proof", "/evidence", "/consistency")
# The same pages with something in their address that makes them another sight: the
# page of the table, what to ask for instead, and the status of the answer.
SIGHTS = [
    ("/audit", "/audit?action=nothing.such", 200),
    ("/audit", "/audit?cursor=nonsense", 400),
    ("/members", "/members?mode=test", 200),
    ("/t/{slug}", "/t/{slug}?mode=test", 200),
    ("/receipts", "/receipts?model=no-such-model", 200),
    ("/receipts", "/receipts?cursor=nonsense", 400),
    ("/receipts", "/receipts?mode=test", 200),
    ("/orchestrations", "/orchestrations?agent_id=nobody", 200),
    ("/orchestrations", "/orchestrations?mode=test", 200),
    ("/orchestrations/{run}", "/orchestrations/{running}", 200),
    ("/orchestrations/{run}", "/orchestrations/{gap}", 200),
    ("/orchestrations/{run}", "/orchestrations/{odd}", 200),
    ("/costs", "/costs?period=last-month", 200),
    ("/costs", "/costs?by=agent", 200),
    ("/costs", "/costs?from=2026-02-02&to=2026-01-01", 400),
    ("/costs", "/costs?mode=test", 200),
    ("/costs/calls", "/costs/calls?cursor=nonsense", 400),
    ("/costs/steps", "/costs/steps?agent_id=nobody", 200),
    ("/costs/steps", "/costs/steps?cursor=nonsense", 400),
    ("/orchestrations", "/orchestrations?ended_from=2026-01-01", 200),
    ("/orchestrations", "/orchestrations?call_model=gpt-5", 200),
    ("/exports", "/exports?mode=test", 200),
    ("/keys", "/keys?mode=test", 200),
]
OF_STRANGERS = ["/", "/login", "/verify", "/v1/docs"]

_TABLE = {
    page.path: Shown(page.path, frozenset(page.roles))
    for route, page in (OF_A_PERSON | OF_A_TENANT).items()
    if page.post is None
    and not page.path.endswith(FILES)
    # The other address of a page shows the same.
    and route.removeprefix("t/<slug:slug>/") in {route, ""}
}
PAGES = [
    *_TABLE.values(),
    *(Shown(path, _TABLE[page].roles, status) for page, path, status in SIGHTS),
]
