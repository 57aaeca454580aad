"""llm-katan: answers as OpenAI, Anthropic and Bedrock do, and fails when told to."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.cluster import free_port
from tests.slow.server import clean_environment

START_SECONDS = 30
STOP_SECONDS = 10
# What it prints of every request that has a good key.
REQUEST = "messages="


class Katan:
    """One port, on which one after another may serve, each with faults of its own."""

    def __init__(self, folder: Path, keys: dict[str, str]) -> None:
        self._port = free_port()
        self._keys = ",".join(f"{name}={key}" for name, key in keys.items())
        self._log = folder / "katan.log"
        self._stats = folder / "katan.json"
        self.url = f"http://127.0.0.1:{self._port}"

    def calls(self) -> int:
        """Return how many calls have come."""
        return self._log.read_text().count(REQUEST) if self._log.exists() else 0

    @contextmanager
    def serving(self, *faults: str) -> Iterator[None]:
        command = [sys.executable, "-m", "llm_katan.cli", "--model", "tiny-1"]
        command += ["--backend", "echo", "--providers", "openai,anthropic,bedrock"]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--disable-dashboard", "--stats-file", str(self._stats)]
        command += ["--validate-keys", "--api-keys", self._keys]
        with self._log.open("a") as log:
            process = subprocess.Popen(
                [*command, *faults], env=clean_environment(), stdout=log, stderr=log
            )
        try:
            self._wait_until_served(process)
            yield
        finally:
            process.kill()
            process.wait(STOP_SECONDS)

    def _wait_until_served(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}/health")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"llm-katan did not start: {self._log.read_text()}")
