"""Every page there is, for tests that look at all of them.

They come from the table of tests/tenants/test_keep_pages_private.py, which no page can
miss. What a page's path has in it (`{run}`) has to be among the names of the site.
"""

from typing import NamedTuple

from tests.tenants.test_keep_pages_private import (
    EVERYONE,
    OF_A_PERSON,
    OF_A_TENANT,
)


class Shown(NamedTuple):
    path: str
    roles: frozenset[str]  # to whom it is shown; others are told that it is not
    status: int = 200

    def status_for(self, role: str | None) -> int:
        return self.status if role in self.roles else 403


# Files to keep, which no browser shows.
DOWNLOADS: set[str] = set()
# The same pages with something in their address that makes them another sight.
SIGHTS = [
    Shown("/audit?action=nothing.such", frozenset({"auditor", "admin"})),
    Shown("/audit?cursor=nonsense", frozenset({"auditor", "admin"}), 400),
    Shown("/members?mode=test", frozenset(EVERYONE)),
]
OF_STRANGERS = ["/", "/login", "/v1/docs"]

PAGES = [
    *(
        Shown(page.path, frozenset(page.roles))
        for route, page in (OF_A_PERSON | OF_A_TENANT).items()
        if page.post is None
        and route not in DOWNLOADS
        # The other address of a page shows the same.
        and route.removeprefix("t/<slug:slug>/") in {route, ""}
    ),
    *SIGHTS,
]
