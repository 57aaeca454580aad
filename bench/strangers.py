"""Whether time tells what another tenant has: its receipts beside those of nobody.

One client asks for one and the other in turn, each time first for the one that was
second before. Both are 404, and so has to be how long the answer takes.
"""

import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.installation import Installation
from bench.load import RECEIPT
from bench.rows import Effort, Row

OWNER, STRANGER = 4, 5  # tenants
RECEIPTS = 500  # of each
PAIRS = 300  # of requests, in a round
LEAST, MOST = 0.95, 1.05


@dataclass(frozen=True, slots=True)
class Name:
    """What a receipt is called by, and how to make one up that looks like it."""

    member: str
    path: str
    made_up: Callable[[str], str]


NAMES = [
    Name("run_id", "/v1/receipts/{}", lambda it: f"run_{secrets.token_hex(16)}"),
    Name("receipt_id", "/v1/receipts/{}", lambda it: it[:-12] + secrets.token_hex(6)),
    Name("receipt_hash", "/v1/verify/{}", lambda it: secrets.token_hex(32)),
]


def strangers(lucid: Installation, effort: Effort) -> Iterator[Row]:
    receipts = _fill(lucid, OWNER)
    _fill(lucid, STRANGER)
    for name in NAMES:
        theirs = [receipt[name.member] for receipt in receipts]
        rounds = [_round(lucid, name, theirs) for _ in range(2 * effort.rounds)]
        yield _row(name, rounds)


def _fill(lucid: Installation, tenant: int) -> list[dict[str, Any]]:
    reports = [
        RECEIPT | {"run_id": f"run_{secrets.token_hex(16)}"} for _ in range(RECEIPTS)
    ]
    answer = lucid.call("/v1/receipts/batch", tenant, {"receipts": reports})
    return [result["receipt"] for result in answer["results"]]


def _round(lucid: Installation, name: Name, theirs: list[str]) -> tuple[float, float]:
    """Return the median times of the owner's and of nobody's, in ms."""
    owners: list[float] = []
    nobodys: list[float] = []
    for number in range(PAIRS):
        one = secrets.choice(theirs)
        turns = [(owners, one), (nobodys, name.made_up(one))]
        for times, asked in turns[:: -1 if number % 2 else 1]:
            times.append(_milliseconds(lucid, name.path.format(asked)))
    return statistics.median(owners), statistics.median(nobodys)


def _milliseconds(lucid: Installation, path: str) -> float:
    headers = {"Authorization": f"Bearer {lucid.keys[STRANGER]}"}
    start = time.perf_counter()
    answer = lucid.client.get(path, headers=headers)
    taken = time.perf_counter() - start
    if answer.status_code != 404:
        raise RuntimeError(f"{path}: {answer.status_code} to a stranger")
    return taken * 1e3


def _row(name: Name, rounds: list[tuple[float, float]]) -> Row:
    owners, nobodys = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = [owner / nobody for owner, nobody in rounds]
    ratio = statistics.median(ratios)
    return Row(
        f"404 for another tenant's receipt, by {name.member}",
        f"{LEAST} to {MOST} of nobody's",
        f"{ratio:.3f} ({min(ratios):.2f} to {max(ratios):.2f}):"
        f" {owners:.2f} ms, nobody's {nobodys:.2f} ms",
        LEAST <= ratio <= MOST,
    )
