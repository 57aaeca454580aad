"""What a run of the bench stands on: a database, two servers, and API keys."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench import load
from bench.load import Load, LoadFailed, Target
from bench.servers import Server, environment, python, serving
from tests.cluster import Cluster

TENANTS = 1000
ROLE = "lucid_app"  # as in production, bound by row-level security


@dataclass(frozen=True, slots=True)
class Installation:
    """Bare views and Lucid on one PostgreSQL that syncs every commit to disk."""

    env: dict[str, str]  # of the database's owner
    as_role: dict[str, str]  # of the role that Lucid serves under
    folder: Path
    postgres: str  # version
    bare: Server
    lucid: Server
    client: httpx.Client
    keys: list[str]  # one of each tenant, of bench-0, bench-1 and so on

    def target(self, path: str, *tenants: int, batch: int = 0) -> Target:
        """Return Lucid's endpoint, with the keys of tenants."""
        name = f"{tenants[0]}-{tenants[-1]}.keys"
        file = self.folder / name
        file.write_text("".join(f"{self.keys[tenant]}\n" for tenant in tenants))
        return Target(self.lucid.url + path, file, batch)

    def post(self, target: Target, clients: int, seconds: int) -> Load:
        """Put load on a target; what Lucid answered has to stand in its logs."""
        before = self.logged()
        done = load.run(target, clients, seconds)
        expected = done.requests * (target.batch or 1)
        grown = self.logged() - before
        if target.url.startswith(self.lucid.url) and grown < expected:
            raise LoadFailed(f"{expected} receipts answered, {grown} logged")
        return done

    def logged(self) -> int:
        """Return how many receipts there are."""
        with psycopg.connect(self.env["DATABASE_URL"]) as connection:
            query = "SELECT coalesce(sum(size), 0)::bigint FROM receipts_log"
            (size,) = connection.execute(query).fetchone() or (0,)
        return int(size)

    def call(self, path: str, tenant: int = 0, data: Any = None) -> Any:
        """Send one request to Lucid, a POST if there is data; return the JSON."""
        answer = self.client.request(
            "GET" if data is None else "POST",
            path,
            json=data,
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
        )
        return answer.raise_for_status().json()

    def start_run(self) -> str:
        """Start an orchestration of the first tenant that lasts; return its id."""
        claims = {"agent_id": "agent:bench", "timeout_seconds": 86_400}
        return str(self.call("/v1/orchestrations", 0, claims)["orchestration_id"])

    def open_logs(self) -> None:
        """Let every tenant have its log, and both workers know most of its keys."""

        def post(tenant: int) -> None:
            self.call("/v1/receipts", tenant, load.RECEIPT | {"run_id": None})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(post, [*range(TENANTS)] * 2))


@contextmanager
def installed() -> Iterator[Installation]:
    cluster = Cluster(fsync=True)
    try:
        with tempfile.TemporaryDirectory(prefix="lucid-bench-") as folder:
            env = environment(cluster.url, folder)
            python("manage.py", "migrate", env=env)
            python("-m", "bench.floor", env=env)
            keys = python("-m", "bench.tenants", str(TENANTS), env=env).split()
            role = ["create_database_role", ROLE, "--generate"]
            python("manage.py", *role, env=env)
            as_role = env | {"DATABASE_URL": cluster.url_as(ROLE)}
            applications = {"bench.floor:application": env, "lucid.wsgi": as_role}
            with (
                serving(applications) as (bare, lucid),
                httpx.Client(base_url=lucid.url, timeout=30, trust_env=False) as client,
            ):
                yield Installation(
                    env,
                    as_role,
                    Path(folder),
                    cluster.version,
                    bare,
                    lucid,
                    client,
                    keys,
                )
    finally:
        cluster.stop()
