"""The example of the README, with the real model."""

import importlib.util
import subprocess
import sys

import pytest

from tests.slow.server import ROOT, clean_environment

pytestmark = pytest.mark.slow


def test_a_real_run_is_notarised_and_verified(default_installation):
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("the extra `demo` is not installed")
    account = default_installation.new_account("acme")
    with default_installation.server() as server, server.client(account):
        url = f"http://127.0.0.1:{server.port}"
        done = subprocess.run(
            [sys.executable, "examples/record_a_run.py"],
            cwd=ROOT,
            env=clean_environment() | {"LUCID_URL": url, "LUCID_API_KEY": account.key},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "VALID"
    assert '"tokens_out": ' in done.stdout
