"""How many threads a worker has: those for calls are as many as the settings say."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("in_file", "in_environment", "threads"),
    [
        ("", {}, 32 + 200),
        ("LUCID_GATEWAY_CALLS=5\n", {}, 32 + 5),
        ("LUCID_THREADS=8\n", {}, 8 + 200),
        ("LUCID_GATEWAY_CALLS=5\n", {"LUCID_GATEWAY_CALLS": "7"}, 32 + 7),
    ],
)
def test_threads_are_those_of_the_settings(tmp_path, in_file, in_environment, threads):
    (tmp_path / "lucid.env").write_text(in_file)
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("LUCID_")}
    told = subprocess.run(
        [sys.executable, "-c", "import lucid.gunicorn as g; print(g.threads)"],
        env=inherited | in_environment | {"LUCID_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(told.stdout) == threads
