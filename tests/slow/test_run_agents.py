"""The agents of the README: what they leave agrees with what the model counted."""

import importlib.util
import json
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest

from tests.slow.model import Counted
from tests.slow.server import ROOT, clean_environment

pytestmark = pytest.mark.slow

# US dollars per million tokens, and so 10^-4 cents per token.
INPUT, CACHED, OUTPUT = Decimal("0.1"), Decimal("0.01"), Decimal("0.4")
CENTS = Decimal("0.0001")


@pytest.fixture
def run(default_installation, model):
    """Run an example; return what it printed, the orchestration, the tokens counted."""
    installation = default_installation
    account = installation.new_account("acme")
    rates = {"input": str(INPUT), "cache_read": str(CACHED), "output": str(OUTPUT)}
    for provider in ("custom", "openai"):
        installation.set_price(account, provider, "smollm2-135m", **rates)

    def example(name: str) -> tuple[str, dict[str, Any], Counted]:
        with installation.server() as server, server.client(account) as client:
            before = model.counted()
            done = subprocess.run(
                [sys.executable, f"examples/{name}.py"],
                cwd=ROOT,
                env=clean_environment()
                | {
                    "LUCID_URL": f"http://127.0.0.1:{server.port}",
                    "LUCID_API_KEY": account.key,
                    "MODEL_URL": model.url,
                },
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            counted = model.counted() - before
            (listed,) = client.read("/v1/orchestrations")["orchestrations"]
            path = f"/v1/orchestrations/{listed['id']}"
            found = json.loads(client.get(path).body, parse_float=Decimal)
            costs = json.loads(client.get("/v1/costs").body, parse_float=Decimal)
        assert found["status"] == "completed"
        assert found["receipt_id"]
        assert found["total_cost_cents"] == costs["totals"]["total_cost_cents"]
        assert found["inference_count"] == costs["totals"]["calls"]
        assert found["unpriced_count"] == found["contradictory_count"] == 0
        return done.stdout, found, counted

    return example


def test_with_httpx(run):
    printed, found, counted = run("agent_with_httpx")
    assert printed.splitlines()[-1] == "VALID"
    assert (found["inference_count"], found["step_count"]) == (3, 1)
    assert (found["sequence"]["last"], found["sequence"]["missing"]) == (3, 0)
    usage = found["usage"]
    assert usage["input_tokens"] == counted.prompt
    assert usage["cache_read_tokens"] == counted.cached > 0
    assert usage["output_tokens"] == counted.generated
    cost = INPUT * counted.prompt + CACHED * counted.cached + OUTPUT * counted.generated
    assert found["total_cost_cents"] == cost * CENTS


def test_with_langchain(run):
    if importlib.util.find_spec("truthlocks_langchain") is None:
        pytest.skip("no connectors: make .venv/installed-connectors")
    printed, found, counted = run("agent_with_langchain")
    assert "INVALID" not in printed
    assert printed.splitlines()[-1].startswith("VALID")
    assert found["inference_count"] == 2
    usage = found["usage"]
    # The connector hands the whole input on, and not what of it was cached.
    whole = counted.prompt + counted.cached
    assert usage["input_tokens"] == whole
    assert usage["output_tokens"] == counted.generated
    cost = INPUT * whole + OUTPUT * counted.generated
    assert found["total_cost_cents"] == cost * CENTS
