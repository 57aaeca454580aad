"""What pages take with a million receipts and ten million inferences in one tenant.

Each address is asked for by a person who is logged in, one request at a time, over a
connection to gunicorn that is kept. Of each page there are the usual addresses and
the worst: rare values in filters, places far back in lists, the run with most calls.
"""

import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

import httpx

from bench.cases import BATCH, LONG_RUN
from bench.installation import ROLE
from bench.load import CALL, RECEIPT
from bench.rows import Effort, Row
from bench.servers import environment, python, serving
from tests.cluster import Cluster

GOAL_MS = 100
GOAL_QUERIES = 15
GOAL_BYTES = 150_000  # page, style sheets and scripts, as they are sent
GOAL = f"p95 < {GOAL_MS} ms, <= {GOAL_QUERIES} queries, < {GOAL_BYTES // 1000} kB"
REQUESTS = 10  # of each page in a round

TENANT = "bench-0"
EMAIL = "auditor@example.com"
STATE = "state.json"

# What is asked for; names in braces are those of bench.large_tenant_names. A page that
# has no route yet is left out, and said to be.
PAGES = [
    ("overview", "/"),
    ("receipts", "/receipts"),
    ("receipts, every column", "/receipts?{every_column}"),
    ("receipts, far back", "/receipts?cursor={far_receipt}"),
    ("receipts of a rare agent", "/receipts?agent_id=maip-agent:rare"),
    ("receipts of a rare model", "/receipts?model=rare"),
    ("receipts of a rare type", "/receipts?receipt_type=compute"),
    ("receipts of nobody", "/receipts?agent_id=nobody"),
    ("receipts of a day", "/receipts?from={day}&to={day}"),
    (
        "receipts of a rare model, entries",
        "/receipts?entries_from=100000&entries_to=900000&model=rare",
    ),
    ("a receipt, the first", "/receipts/{first_receipt}"),
    ("a receipt of today", "/receipts/{receipt}"),
    ("a receipt, checked", "/receipts/{receipt}?check=server"),
    ("orchestrations", "/orchestrations"),
    ("orchestrations, far back", "/orchestrations?cursor={far_run}"),
    ("orchestrations of a rare agent", "/orchestrations?agent_id=maip-agent:rare"),
    ("orchestrations of a rare workflow", "/orchestrations?workflow_id=rare"),
    ("orchestrations that are running", "/orchestrations?status=running"),
    ("orchestrations that cost most", "/orchestrations?min_cost=2"),
    (
        "orchestrations that ended in a year",
        "/orchestrations?ended_from={year_ago}&ended_to={day}",
    ),
    (
        "orchestrations with a rare model",
        "/orchestrations?ended_from={year_ago}&ended_to={day}&call_model=rare",
    ),
    ("orchestrations of a day", "/orchestrations?from={day}&to={day}"),
    ("a run", "/orchestrations/{run}"),
    ("a run of a year ago", "/orchestrations/{far_run_id}"),
    (f"a run of {LONG_RUN:,} calls", "/orchestrations/{long_run}"),
    (
        f"a run of {LONG_RUN:,} calls, its failures",
        "/orchestrations/{long_run}?only=failed",
    ),
    ("costs of 30 days", "/costs"),
    ("costs of a year", "/costs?from={year_ago}&to={day}"),
    ("costs of a year by day", "/costs?by=day&from={year_ago}&to={day}"),
    ("costs of a year by agent", "/costs?by=agent&from={year_ago}&to={day}"),
    ("costs of a year by key", "/costs?by=key&from={year_ago}&to={day}"),
    ("costs of each day of a year", "/costs?by=day&skip=0&from={year_ago}&to={day}"),
    ("steps that cost", "/costs/steps"),
    ("calls", "/costs/calls"),
    ("calls of a year", "/costs/calls?from={year_ago}&to={day}"),
    ("calls, far back", "/costs/calls?cursor={far_call}"),
    ("calls of a rare model", "/costs/calls?model=rare"),
    ("calls of a rare agent", "/costs/calls?agent_id=maip-agent:rare"),
    ("calls without a price", "/costs/calls?unpriced=yes"),
    ("exports", "/exports"),
    ("signing keys", "/keys"),
    ("API keys", "/keys/api"),
    ("members", "/members"),
    ("access events", "/audit"),
    ("access events, far back", "/audit?cursor={far_event}"),
    ("access events, rare", "/audit?action=rare.event"),
    ("access events of nobody", "/audit?actor=nobody"),
    ("settings", "/settings"),
    ("prices", "/settings/prices"),
    ("public log", "/settings/public-log"),
    ("account", "/account"),
    ("the verifier", "/verify"),
]
LINKED = re.compile(r'<(?:link rel="stylesheet" href|script[^>]* src)="([^"]+)"')
# Not by `import()`, which loads what only some browsers lack.
IMPORTED = re.compile(r'(?:from|import) +"(\.[^"]+\.js)"')


@dataclass
class Site:
    """A large tenant, served; `client` is logged in."""

    as_role: dict[str, str]
    client: httpx.Client
    names: dict[str, str]
    postgres: str
    workers: int


@dataclass
class Weight:
    """Bytes of a page with all that it has the browser load."""

    sent: int = 0  # over the wire, compressed
    unpacked: int = 0

    def fetch(self, client: httpx.Client, url: str) -> str:
        answer = client.get(url).raise_for_status()
        self.sent += answer.num_bytes_downloaded
        self.unpacked += len(answer.content)
        return answer.text


def pages(site: Site, effort: Effort) -> Iterator[Row]:
    wanted = [(what, path.format_map(site.names)) for what, path in PAGES]
    queries = _queries(site, [path for _, path in wanted])
    there = [(what, path) for what, path in wanted if queries[path] is not None]
    for what, path in wanted:
        if queries[path] is None:
            print(f"{what}: no such page ({path})", file=sys.stderr)
    times: dict[str, list[float]] = {path: [] for _, path in there}
    for path in times:
        _seconds(site.client, path)
    for _ in range(effort.rounds):
        for path, taken in times.items():
            taken += [_seconds(site.client, path) for _ in range(REQUESTS)]
    for what, path in there:
        yield _row(what, times[path], queries[path] or 0, _weight(site.client, path))


def _row(what: str, times: list[float], queries: int, size: Weight) -> Row:
    ordered = sorted(times)
    p50 = statistics.median(ordered) * 1000
    p95 = ordered[int(len(ordered) * 0.95)] * 1000
    met = p95 < GOAL_MS and queries <= GOAL_QUERIES and size.sent < GOAL_BYTES
    kilobytes = f"{size.sent / 1000:.0f} kB, {size.unpacked / 1000:.0f} unpacked"
    measured = f"{p50:.0f} ms, p95 {p95:.0f} ms; {queries}; {kilobytes}"
    return Row(f"page: {what}", GOAL, measured, met)


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - start


def _queries(site: Site, paths: list[str]) -> dict[str, int | None]:
    """Return how often each page asks the database; None of one without a route."""
    answer = python("-m", "bench.page_queries", EMAIL, *paths, env=site.as_role)
    counted: dict[str, int | None] = json.loads(answer)
    return counted


def _weight(client: httpx.Client, path: str) -> Weight:
    weight = Weight()
    waiting = LINKED.findall(weight.fetch(client, path))
    loaded: set[str] = set()
    while waiting:
        url = waiting.pop()
        if url not in loaded:
            loaded.add(url)
            text = weight.fetch(client, url)
            imports = IMPORTED.findall(text) if ".js" in url else ()
            waiting += [normpath(join(dirname(url), name)) for name in imports]
    return weight


@contextmanager
def large_site(keep: Path | None) -> Iterator[Site]:
    """Serve the large tenant; make it unless it is in the folder `keep` already."""
    with tempfile.TemporaryDirectory(prefix="lucid-bench-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        cluster = Cluster(folder=keep and keep / "postgresql", wal="1GB")
        try:
            state = _state(cluster, folder)
            as_role = state["env"] | {"DATABASE_URL": cluster.url_as(ROLE)}
            with (
                serving({"lucid.wsgi": as_role}) as (lucid,),
                httpx.Client(base_url=lucid.url, timeout=60, trust_env=False) as client,
            ):
                if "names" not in state:
                    _record(client, state)
                    owner = state["env"] | {"DATABASE_URL": cluster.url}
                    found = python("-m", "bench.large_tenant_names", TENANT, env=owner)
                    state["names"] = state["runs"] | json.loads(found)
                    (folder / STATE).write_text(json.dumps(state))
                _log_in(client, state["password"])
                workers = len(lucid.workers)
                yield Site(as_role, client, state["names"], cluster.version, workers)
        finally:
            cluster.stop()


def _state(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """Return the secrets of an installation with a large tenant, made if need be."""
    file = folder / STATE
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text())
        _prepare_tables(kept["env"] | {"DATABASE_URL": cluster.url})
        return kept
    env = environment(cluster.url, str(folder)) | {"LUCID_TLS": "false"}
    _prepare_tables(env)
    key = python("-m", "bench.tenants", "1", env=env).strip()
    user = ["create_user", EMAIL, "--generate", "--json"]
    password = json.loads(python("manage.py", *user, env=env))["password"]
    python("manage.py", "add_member", TENANT, EMAIL, "--role", "admin", env=env)
    python("-m", "bench.large_tenant", TENANT, env=env, tells=True)
    return {"env": env, "key": key, "password": password}


def _prepare_tables(env: dict[str, str]) -> None:
    python("manage.py", "migrate", env=env)
    python("manage.py", "create_database_role", ROLE, "--generate", env=env)


def _record(client: httpx.Client, state: dict[str, Any]) -> None:
    """Add what is recorded through the API: runs to look at, and other receipts."""
    headers = {"Authorization": f"Bearer {state['key']}"}

    def post(path: str, data: Any) -> Any:
        return client.post(path, json=data, headers=headers).raise_for_status().json()

    def run(calls: int) -> str:
        start = {"agent_id": "maip-agent:worker-1", "timeout_seconds": 86_400}
        name = post("/v1/orchestrations", start)["orchestration_id"]
        for first in range(0, calls, BATCH):
            numbers = range(first + 1, min(first + BATCH, calls) + 1)
            body = {"inferences": [_call(number) for number in numbers]}
            post(f"/v1/orchestrations/{name}/inferences/batch", body)
        for number in range(5):
            step = {"action": "tool_call", "name": f"tool-{number}"}
            post(f"/v1/orchestrations/{name}/steps", step)
        return str(name)

    receipts = [RECEIPT | {"run_id": f"run-{number}"} for number in range(BATCH)]
    post("/v1/receipts/batch", {"receipts": receipts})
    state["runs"] = {"long_run": run(LONG_RUN), "run": run(20)}
    post(f"/v1/orchestrations/{state['runs']['run']}/complete", {"output": "done"})


def _call(number: int) -> dict[str, Any]:
    members = {name: value for name, value in CALL.items() if name != "inference_id"}
    return members | {"sequence": number}


def _log_in(client: httpx.Client, password: str) -> None:
    form = client.get("/login").raise_for_status().text
    [token] = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', form)
    fields = {"username": EMAIL, "password": password, "csrfmiddlewaretoken": token}
    answer = client.post(
        "/login", data=fields, headers={"Referer": str(client.base_url)}
    )
    if answer.status_code != httpx.codes.FOUND:
        raise RuntimeError(f"log-in: {answer.status_code} {answer.text}")
