"""The published connectors, unmodified, between a real model and a real Lucid."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.slow.model import Counted
from tests.slow.server import ROOT, clean_environment

pytestmark = pytest.mark.slow

AGENT = "maip-agent:desk/1"  # both characters that a path has to escape
PACKAGES = ("truthlocks_openai", "truthlocks_anthropic", "truthlocks_langchain")


@dataclass(frozen=True)
class Told:
    """What the connector's program printed, the model counted, and Lucid added up."""

    printed: dict[str, Any]
    counted: Counted
    costs: dict[str, Any]


@pytest.fixture
def run(default_installation, model):
    if not all(map(importlib.util.find_spec, PACKAGES)):
        pytest.skip("no connectors: make .venv/installed-connectors")
    account = default_installation.new_account("acme")

    def program(name: str) -> Told:
        with (
            default_installation.server() as server,
            server.client(account) as client,
        ):
            before = model.counted()
            done = subprocess.run(
                [sys.executable, "tests/slow/connected.py", name, model.url],
                cwd=ROOT,
                env=clean_environment()
                | {
                    "MAIP_API_URL": f"http://127.0.0.1:{server.port}/v1",
                    "MAIP_API_KEY": account.key,
                    "MAIP_AGENT_ID": AGENT,
                },
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            counted = model.counted() - before
            costs = client.get("/v1/costs?group_by=agent_id").body
        totals = json.loads(costs, parse_float=Decimal)
        assert [group["key"] for group in totals["groups"]] == [AGENT]
        return Told(json.loads(done.stdout), counted, totals["totals"])

    return program


def assert_evident(printed: dict[str, Any]) -> None:
    """Every receipt is signed, logged, and comes back as it was submitted."""
    submitted = printed["submitted"]
    for receipt in submitted:
        assert receipt["status"] == "valid"
        assert receipt["signature"]
        assert receipt["signing_envelope"]["alg"] == "Ed25519"
        assert receipt["agent_id"] == AGENT
    indexes = [receipt["log_index"] for receipt in submitted]
    assert indexes == list(range(len(submitted)))
    assert printed["fetched"] == submitted
    alone = [{"success": True, **receipt} for receipt in printed["listed"]]
    assert alone == submitted[::-1]
    verdicts = printed["verdicts"]
    assert [told["verdict"] for told in verdicts] == ["VALID"] * len(submitted)
    for told in verdicts:
        assert told["signature_verified"]
        assert told["transparency_verified"]
        assert told["chain_verified"]


def kinds(printed: dict[str, Any]) -> list[str]:
    return [receipt["metadata"]["receipt_type"] for receipt in printed["submitted"]]


def test_openai(run):
    told = run("openai")
    assert_evident(told.printed)
    assert kinds(told.printed) == ["llm_call_receipt"] * 2
    costs = told.costs
    # The wrapper hands the whole input on, and not what of it was cached.
    assert told.counted.cached > 0
    assert costs["input_tokens"] == told.counted.prompt + told.counted.cached
    assert costs["output_tokens"] == told.counted.generated
    # One model is unknown to its table; of the other it claims an estimate.
    priced = told.printed["submitted"][1]["metadata"]["estimated_cost_usd"]
    assert priced > 0
    assert costs["cost_cents"] == Decimal(repr(priced)) * 100
    assert (costs["calls"], costs["unpriced"], costs["flagged"]) == (2, 1, 0)


def test_anthropic(run):
    told = run("anthropic")
    assert_evident(told.printed)
    assert kinds(told.printed) == ["llm_call_receipt"] * 2
    costs = told.costs
    # Anthropic's input is without what was cached, and the wrapper never tells that.
    assert told.counted.cached > 0
    assert costs["input_tokens"] == told.counted.prompt
    assert costs["output_tokens"] == told.counted.generated
    assert (costs["calls"], costs["unpriced"]) == (2, 2)


def test_langchain(run):
    told = run("langchain")
    assert_evident(told.printed)
    found = kinds(told.printed)
    assert found.count("llm_call_receipt") == len(told.printed["calls"]) == 2
    assert found.count("agent_action_receipt") == 2
    assert "chain_execution_receipt" in found
    costs = told.costs
    assert costs["input_tokens"] == told.counted.prompt + told.counted.cached
    assert costs["output_tokens"] == told.counted.generated
    assert (costs["calls"], costs["unpriced"]) == (2, 2)
