"""What the guards add to a request: key, scope, limit on requests, row-level security.

The same views with and without them, one client, in turn; and how much a limit takes
from the ledger's speed where many write.
"""

import statistics
import time
from collections.abc import Iterator

import httpx
import psycopg

from bench.installation import Installation
from bench.load import RECEIPT
from bench.rows import Effort, Row
from bench.servers import serving

READS = {
    "the newest root": "/v1/mmr/root",
    "a receipt by its run_id": "/v1/receipts/{run_id}",
    "50 receipts": "/v1/receipts",
}
GOAL = 0.5  # ms
REQUESTS = 300  # of each, in a round
LIMITED = 3  # the tenant that has limits, which are never reached
PLENTY = 1_000_000


def guards(lucid: Installation, effort: Effort) -> Iterator[Row]:
    run_id = _fill(lucid)
    _limit(lucid)
    env = lucid.env | {"BENCH_TENANT": f"bench-{LIMITED}"}
    # Both new: a server that was under load has more threads and connections.
    applications = {"bench.unguarded:application": env, "lucid.wsgi": lucid.as_role}
    with (
        serving(applications) as (unguarded, guarded),
        httpx.Client(base_url=unguarded.url, timeout=30, trust_env=False) as bare,
        httpx.Client(base_url=guarded.url, timeout=30, trust_env=False) as ours,
    ):
        for what, path in READS.items():
            added = [
                _median(ours, path.format(run_id=run_id), lucid.keys[LIMITED])
                - _median(bare, path.format(run_id=run_id), "")
                for _ in range(2 * effort.rounds)
            ]
            yield _row(what, added)
    free, limited = (
        lucid.target("/v1/receipts", 0),
        lucid.target("/v1/receipts", LIMITED),
    )
    for clients in (1, 64):
        lucid.post(free, clients, 2)
        lucid.post(limited, clients, 2)
        ratios = [
            lucid.post(limited, clients, effort.seconds).rate
            / lucid.post(free, clients, effort.seconds).rate
            for _ in range(effort.rounds)
        ]
        yield _ratio(clients, ratios)


def _fill(lucid: Installation) -> str:
    for _ in range(60):
        receipt = lucid.call("/v1/receipts", LIMITED, RECEIPT | {"run_id": None})[
            "receipt"
        ]
    return str(receipt["run_id"])


def _limit(lucid: Installation) -> None:
    """Give a tenant and its key limits, as an operator does."""
    with psycopg.connect(lucid.env["DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE tenants_tenant SET requests_per_minute = %s,"
            " keyring_version = keyring_version + 1 WHERE slug = %s",
            [PLENTY, f"bench-{LIMITED}"],
        )
        connection.execute(
            "UPDATE tenants_apikey SET requests_per_minute = %s WHERE tenant_id ="
            " (SELECT id FROM tenants_tenant WHERE slug = %s)",
            [PLENTY, f"bench-{LIMITED}"],
        )


def _median(client: httpx.Client, path: str, key: str) -> float:
    """Return the median time of a request, in ms; the connection is kept alive."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    times = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        client.get(path, headers=headers).raise_for_status()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _row(what: str, added: list[float]) -> Row:
    median = statistics.median(added)
    return Row(
        f"the guards of {what}, with two limits",
        f"<= {GOAL} ms",
        f"{median:.2f} ms ({min(added):.2f} to {max(added):.2f})",
        median <= GOAL,
    )


def _ratio(clients: int, ratios: list[float]) -> Row:
    median = statistics.median(ratios)
    return Row(
        f"receipts of a tenant with limits, clients: {clients}",
        ">= 0.95 of one without",
        f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        median >= 0.95,
    )
