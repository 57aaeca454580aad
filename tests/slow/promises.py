"""What Lucid keeps whatever happened to it, checked from outside."""

from collections.abc import Iterator
from typing import Any

from tests.slow.client import Answer
from tests.slow.server import Account, Installation, Server
from tests.slow.writers import Receipt, Writers, report

ERROR_BODY: dict[str, Any] = {
    "success": False,
    "error_code": "UNAVAILABLE",
    "code": "UNAVAILABLE",
    "http_status": 503,
    "details": None,
}


def assert_unavailable(answer: Answer) -> None:
    """WIRE section 1: the flat body, and when to come again."""
    assert answer.status == 503, answer
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert {name: body.pop(name) for name in ERROR_BODY} == ERROR_BODY
    assert body.pop("error") == body.pop("message") != ""
    assert body.keys() == {"request_id"}


def assert_all_were_answered(writers: Writers, within: float) -> None:
    """Every request got its 200 or a proper 503, in time (seconds)."""
    assert not writers.failures
    for answer in writers.refusals:
        assert_unavailable(answer)
    assert writers.slowest < within


def assert_nothing_is_lost(
    writers: Writers, installation: Installation, server: Server, account: Account
) -> None:
    """Every receipt once answered is there; every run is in a sound log, once."""
    runs = writers.receipts.keys() | writers.unanswered
    with server.client(account) as client:
        repeats = [report(client, run_id) for run_id in sorted(writers.unanswered)]
    assert [answer.status for answer in repeats] == [200] * len(repeats)

    stored = {receipt["run_id"]: receipt for receipt in read_log(server, account)}
    assert stored.keys() == runs
    answered = {run_id: stored[run_id] for run_id in writers.receipts}
    assert answered == writers.receipts
    indexes = sorted(receipt["_mmr_leaf_index"] for receipt in stored.values())
    assert indexes == list(range(len(runs)))
    log = installation.verify_log(account)
    assert (log["verdict"], log["size"]) == ("VALID", len(runs)), log


def read_log(server: Server, account: Account) -> Iterator[Receipt]:
    """Yield every receipt there is, newest first."""
    with server.client(account) as client:
        path: str | None = "/v1/receipts?limit=200"
        while path:
            page = client.read(path)
            yield from page["receipts"]
            cursor = page["next_cursor"]
            path = cursor and f"/v1/receipts?limit=200&cursor={cursor}"
