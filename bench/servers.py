"""The servers under load: gunicorn as Lucid is served, on this machine alone."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.cluster import free_port

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 20
STOP_SECONDS = 30


def environment(database_url: str, folder: str) -> dict[str, str]:
    """Return an environment with secrets of its own, for every process of a run."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LUCID_", "DJANGO_", "GUNICORN_"))
    }
    return inherited | {
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "lucid.settings",
        "LUCID_DATA_DIR": folder,
        "LUCID_SECRET_KEY": secrets.token_urlsafe(48),
        "LUCID_MASTER_KEYS": f"m1:{_random_key()}",
        "LUCID_API_KEY_PEPPERS": f"p1:{_random_key()}",
    }


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def python(*arguments: str, env: dict[str, str], tells: bool = False) -> str:
    """Run this project's Python in the project's folder and return what it prints.

    One that `tells` how far it is writes that to our standard error.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=None if tells else subprocess.PIPE,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


class Server:
    """Gunicorn with one application, by Lucid's own configuration."""

    def __init__(self, application: str, env: dict[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-c", "python:lucid.gunicorn"),
                *("--log-level", "warning", application),
            ],
            cwd=ROOT,
            env=env | {"HOST": "127.0.0.1", "PORT": str(port)},
        )

    def wait_until_served(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                httpx.get(self.url, timeout=START_SECONDS, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return  # a 404, by the application
        raise RuntimeError("The server did not start; its messages are above.")

    @property
    def workers(self) -> list[int]:
        """The process ids of gunicorn's workers."""
        pid = self._process.pid
        return list(
            map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        )

    @property
    def processes(self) -> list[int]:
        """The process ids of gunicorn's master and its workers."""
        return [self._process.pid, *self.workers]

    def stop(self) -> None:
        _stop(self._process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def serving(applications: dict[str, dict[str, str]]) -> Iterator[list[Server]]:
    """Serve each application in its environment."""
    servers: list[Server] = []
    try:
        for application, env in applications.items():
            servers.append(Server(application, env))
        for server in servers:
            server.wait_until_served()
        yield servers
    finally:
        for server in servers:
            server.stop()


@contextmanager
def listening(*arguments: str) -> Iterator[str]:
    """Run this project's Python, as a server on the port that it is given at the end.

    Yields its URL once connections are accepted.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *arguments, str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_accepted(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait_until_accepted(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen")
