"""A server that shows a reader whatever log it likes, on the real page of a receipt.

The page is the product's; what it fetches comes from a small log, whose key the test
has. So a test can show one history today and another tomorrow.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Route

from receipts import merkle
from tests.receipts.small_log import SmallLog, body, seal


def log_of(size: int, *, forked_at: int | None = None, **options: Any) -> SmallLog:
    """Return a log; one that is forked has other entries from there on."""
    names = [
        number if forked_at is None or number < forked_at else number + 100
        for number in range(size)
    ]
    return SmallLog([seal(body(name)) for name in names], **options)


@dataclass
class Lying:
    log: SmallLog
    index: int = 1
    receipt: dict[str, Any] | None = None  # in place of the log's own
    proof: dict[str, Any] | None = None
    consistency: Any = None  # "none": no answer; else in place of the log's own

    def serve(self, context: BrowserContext) -> None:
        context.route("**/receipt.json", self._receipt)
        context.route("**/proof.json", self._proof)
        context.route("**/receipts/consistency?*", self._consistency)

    def _receipt(self, route: Route) -> None:
        _answer(route, self.receipt or self.log.receipt(self.index))

    def _proof(self, route: Route) -> None:
        _answer(route, self.proof or self.log.proof(self.index))

    def _consistency(self, route: Route) -> None:
        if self.consistency == "none":
            route.fulfill(body="<!doctype html>Log in", content_type="text/html")
            return
        query = parse_qs(urlsplit(route.request.url).query)
        old, new = (int(query[name][0]) for name in ("from", "to"))
        if new > self.log.size:
            _answer(route, {"success": False, "size": self.log.size})
            return
        hashes = merkle.consistency_proof(old, new, self.log.node)
        proof = [item.hex() for item in hashes]
        answer = {"origin": self.log.origin, "from": old, "to": new, "proof": proof}
        _answer(route, self.consistency or answer)


def _answer(route: Route, document: Any) -> None:
    route.fulfill(body=json.dumps(document), content_type="application/json")
