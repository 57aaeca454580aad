"""The real model of the examples, and its own count of the tokens it was asked for."""

import importlib.util
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Self

import httpx

from tests.cluster import free_port
from tests.slow.server import ROOT, clean_environment

START_SECONDS = 60
STOP_SECONDS = 30


def is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


@dataclass(frozen=True)
class Counted:
    """Tokens, by the model server's own counters since it was started."""

    prompt: int  # read
    cached: int  # remembered from an earlier prompt that began alike
    generated: int

    def __sub__(self, before: "Counted") -> "Counted":
        return Counted(
            self.prompt - before.prompt,
            self.cached - before.cached,
            self.generated - before.generated,
        )


class Model:
    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "examples/local_model.py", str(port)],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return self
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
        self.__exit__()
        raise RuntimeError("the model server did not start")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(STOP_SECONDS)

    def counted(self) -> Counted:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        told = dict(line.split() for line in lines if not line.startswith("#"))
        return Counted(
            int(told["llamacpp:prompt_tokens_total"]),
            int(told["llamacpp:prompt_tokens_cached_total"]),
            int(told["llamacpp:tokens_predicted_total"]),
        )
