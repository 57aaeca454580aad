"""A real installation of Lucid for a test: its own database, secrets and gunicorn."""

import base64
import json
import os
import resource
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg

from tests.cluster import free_port
from tests.slow.client import Client

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30
STOP_SECONDS = 30
READERS = 8
LOG_TAIL = 10_000  # characters

# What a developer's shell, or the test run itself, says to a Lucid of its own.
FOREIGN = ("LUCID_", "DJANGO_", "GUNICORN_", "PYTHON", "COVERAGE", "MAKE", "MFLAGS")


@dataclass(frozen=True)
class Account:
    """A tenant as a program knows it: a name in URLs and a key."""

    slug: str
    key: str


def clean_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and name not in {"DATABASE_URL", "HOST", "PORT"}
    }


def _memory_of(pid: int, kind: str) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(f"{kind}:")]
    return int(kilobytes) << 10


def random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


class Installation:
    """One database and one set of secrets, for any number of servers."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        serving_url: str | None = None,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Take the URL of the tables' owner, and of a role to make and serve under."""
        self.folder = folder
        self.database_url = database_url  # as its owner, who sees all rows
        own = {
            "DATABASE_URL": database_url,
            "LUCID_DATA_DIR": str(folder),
            "LUCID_SECRET_KEY": secrets.token_urlsafe(48),
            "LUCID_MASTER_KEYS": f"m1:{random_key()}",
            "LUCID_API_KEY_PEPPERS": f"p1:{random_key()}",
        }
        self.environment = clean_environment() | own | dict(settings or {})
        self._manage("migrate", "--verbosity", "0")
        if serving_url:
            role = str(urlsplit(serving_url).username)
            self._manage("create_database_role", role, "--generate")
            self.environment["DATABASE_URL"] = serving_url

    def new_account(self, name: str) -> Account:
        tenant = self.ask("create_tenant", f"{name}-{secrets.token_hex(6)}")
        slug = tenant["slug"]
        key = self.ask("create_api_key", slug, "--name", "test", "--scope", "*")
        return Account(slug, key["key"])

    def set_price(
        self, account: Account, provider: str, model: str, **rates: str
    ) -> None:
        options = [f"--{name.replace('_', '-')}={rate}" for name, rate in rates.items()]
        self.ask("set_price", account.slug, provider, model, *options)

    def set_provider(
        self,
        account: Account,
        provider: str,
        url: str,
        credential: str = "",
        models: Iterable[str] = (),
        numbers: Mapping[str, int] | None = None,
    ) -> None:
        """Let the tenant's calls go to a provider on this machine."""
        options = ["--base-url", url, "--allow-host", "127.0.0.1"]
        options += [f"--model={pattern}" for pattern in models]
        for name, number in (numbers or {}).items():
            options += [f"--{name.replace('_', '-')}", str(number)]
        if not credential:
            options.append("--no-credential")
        self.ask("set_provider", account.slug, provider, *options, line=credential)

    def verify_log(self, account: Account) -> dict[str, Any]:
        return self.ask("verify_log", account.slug, check=False)

    def rotate_api_key(self, account: Account, overlap: str) -> Account:
        answer = self.ask("rotate_api_key", account.key[:18], "--overlap", overlap)
        return Account(account.slug, answer["key"])

    def rotate_pepper(self) -> dict[str, Any]:
        return self.ask("rotate_pepper", check=False)

    def rotate_signing_key(self, account: Account, *options: str) -> dict[str, Any]:
        return self.ask("rotate_signing_key", account.slug, *options)

    def revoke_signing_key(self, kid: str, last_valid_index: int) -> dict[str, Any]:
        options = ["--last-valid-index", str(last_valid_index), "--reason", "a test"]
        return self.ask("revoke_signing_key", kid, *options)

    def list_signing_keys(self, account: Account) -> list[dict[str, Any]]:
        keys: list[dict[str, Any]] = self.ask("list_signing_keys", account.slug)["keys"]
        return keys

    def rotate_master_key(self) -> dict[str, Any]:
        return self.ask("rotate_master_key")

    def check_rollups(self, account: Account) -> dict[str, Any]:
        return self.ask("check_rollups", account.slug, check=False)

    def calls_under_way(self, account: Account) -> int:
        """Return how many attempts have no receipt yet, by the database itself."""
        tenant = f"SELECT id FROM tenants_tenant WHERE slug = '{account.slug}'"  # noqa: S608
        query = "SELECT count(*) FROM orchestrations_attempt WHERE tenant_id = "
        with closing(self.connect()) as connection:
            (count,) = connection.execute(f"{query}({tenant})").fetchone()
        return int(count)

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def connect(self) -> Any:
        url = self.database_url
        if url.startswith("sqlite:///"):
            return sqlite3.connect(url.removeprefix("sqlite:///"))
        return psycopg.connect(url)

    def server(self, **settings: str) -> "Server":
        return Server(self, settings)

    def ask(
        self, *arguments: str, check: bool = True, line: str = ""
    ) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            self._manage(*arguments, "--json", check=check, line=line)
        )
        return answer

    def _manage(self, *arguments: str, check: bool = True, line: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=line,
            capture_output=True,
            text=True,
        )
        if not done.stdout if not check else done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout


class Server:
    """Gunicorn's master and workers, in a process group of their own.

    Made, it is starting; `client` waits until it serves. A test can `kill` it and
    `start` it again on the same port.
    """

    def __init__(self, installation: Installation, settings: dict[str, str]) -> None:
        self.port = free_port()
        self._environment = (
            installation.environment
            | {"HOST": "127.0.0.1", "PORT": str(self.port), "LUCID_WORKERS": "2"}
            | settings
        )
        self._log = installation.folder / f"server-{self.port}.log"
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        print(self.log[-LOG_TAIL:])  # pytest shows it when the test has failed

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", "python:lucid.gunicorn"]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, "lucid.wsgi"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._serves = False

    def kill(self) -> None:
        """Kill -9 every process at once, as a power cut does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def client(self, account: Account) -> Client:
        if not self._serves:
            self._wait_until_served()
        return Client(self.port, account.key)

    def read_all(self, account: Account, paths: Iterable[str]) -> list[dict[str, Any]]:
        """Return what `Client.read` does for each path, over a few connections."""

        def read(share: list[str]) -> list[dict[str, Any]]:
            with self.client(account) as client:
                return [client.read(path) for path in share]

        wanted = list(paths)
        shares = [wanted[start::READERS] for start in range(READERS)]
        with ThreadPoolExecutor(READERS) as pool:
            return [answer for share in pool.map(read, shares) for answer in share]

    @property
    def log(self) -> str:
        """What the processes have printed since the server was made."""
        return self._log.read_text()

    @property
    def processes(self) -> list[int]:
        """The process ids of the master and its workers."""
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [master, *map(int, children.split())]

    def memory(self, kind: str = "Pss") -> int:
        """Return the bytes that all processes have, what they share counted once."""
        return sum(_memory_of(pid, kind) for pid in self.processes)

    def limit_files(self, size: int) -> None:
        """Let no process write a file beyond `size` bytes: a disk that is full."""
        for pid in self.processes:
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def _wait_until_served(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                with Client(self.port, timeout=START_SECONDS) as client:
                    client.get("/")
            except ConnectionError:
                time.sleep(0.05)
            else:
                self._serves = True
                return
        raise RuntimeError(f"the server did not start: {self.log}")
