"""The providers' own clients, unmodified, through a real Lucid to a real model."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.slow.gateway import SECRET, Books, assert_sound
from tests.slow.katan import Katan
from tests.slow.model import Counted
from tests.slow.server import ROOT, clean_environment

pytestmark = pytest.mark.slow

PACKAGES = ("openai", "anthropic", "langchain_openai")


@dataclass(frozen=True)
class Told:
    """What the program printed, the model counted, and Lucid wrote down."""

    printed: dict[str, Any]
    counted: Counted
    receipts: list[dict[str, Any]]


@pytest.fixture(scope="module")
def katan(tmp_path_factory) -> Iterator[Katan]:
    keys = {"openai": SECRET, "anthropic": SECRET}
    served = Katan(tmp_path_factory.mktemp("katan"), keys)
    with served.serving():
        yield served


@pytest.fixture(scope="module")
def account(default_installation, model, katan) -> Iterator[Any]:
    if not all(map(importlib.util.find_spec, PACKAGES)):
        pytest.skip("no clients: make .venv/installed-connectors")
    account = default_installation.new_account("acme")
    default_installation.set_provider(account, "custom", f"{model.url}/v1")
    for name, url, of_katan in (
        ("openai", f"{katan.url}/v1", ["tiny-1"]),
        ("anthropic", katan.url, ["claude-tiny-1"]),
    ):
        default_installation.set_provider(account, name, url, SECRET, of_katan)
    yield account
    assert_sound(default_installation, account)


@pytest.fixture(scope="module")
def server(default_installation) -> Iterator[Any]:
    with default_installation.server() as started:
        yield started


@pytest.fixture
def run(default_installation, server, account, model):
    def program(name: str) -> Told:
        books = Books(default_installation, server, account, lambda: 0)
        before = model.counted()
        url = f"http://127.0.0.1:{server.port}"
        done = subprocess.run(
            [sys.executable, "tests/slow/answered.py", name, url, account.key],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told = Told(json.loads(done.stdout), model.counted() - before, books.receipts())
        assert len(told.receipts) == told.printed["calls"]
        return told

    return program


def assert_counted(told: Told) -> None:
    """Our tokens are those of the model server's own counters."""
    completed = [it for it in told.receipts if it["outcome"] == "completed"]
    usages = [receipt["usage"] for receipt in completed]
    total = {name: sum(usage[name] for usage in usages) for name in usages[0]}
    assert total["input_tokens"] == told.counted.prompt
    assert total["cache_read_tokens"] == told.counted.cached > 0
    assert total["output_tokens"] == told.counted.generated


def assert_provable(told: Told) -> None:
    """Who has the answer and its salt can show that the receipt is of it."""
    headers = told.printed["headers"]
    (receipt,) = [
        it for it in told.receipts if it["receipt_id"] == headers["receipt-id"]
    ]
    assert receipt["receipt_hash"] == headers["receipt-hash"]
    salt = bytes.fromhex(headers["output-salt"])
    for name, text in (("output", "body"), ("output_text", "raw")):
        digest = hashlib.sha256(salt + told.printed[text].encode()).hexdigest()
        assert digest == receipt[f"{name}_hash"]


def outcomes(told: Told) -> list[str]:
    return [receipt["outcome"] for receipt in told.receipts]


def test_openai(run):
    told = run("openai")
    assert_provable(told)
    assert_counted(told)
    printed = told.printed
    texts = [printed[name] for name in ("text", "streamed", "counted")]
    assert all(texts)
    assert all(printed["together"])
    usage = printed["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    # It did not ask for usage, so it gets none, though Lucid did.
    assert not any(printed["told_usage"])
    assert printed["last_usage"]["completion_tokens"] > 0
    assert printed["shaped"]["colour"] in {"red", "green"}
    assert printed["refusal"]["status"] == 400
    assert outcomes(told) == ["completed"] * 8 + ["failed"]
    assert [receipt["streamed"] for receipt in told.receipts].count(True) == 2


def test_anthropic(run):
    told = run("anthropic")
    assert_provable(told)
    assert_counted(told)
    printed = told.printed
    assert printed["text"]
    assert printed["alone"]
    text, reason, output = printed["final"]
    assert text == printed["streamed"] != ""
    assert (reason, output) == ("max_tokens", 16)
    assert printed["events"][0] == "message_start"
    assert printed["events"][-1] == "message_stop"
    assert outcomes(told) == ["completed"] * 5
    assert [receipt["streamed"] for receipt in told.receipts].count(True) == 2


def test_langchain(run):
    told = run("langchain")
    assert_counted(told)
    printed = told.printed
    assert printed["text"]
    assert printed["streamed"]
    assert all(printed["together"])
    for usage in (printed["usage"], printed["streamed_usage"]):
        assert usage["output_tokens"] > 0
    assert printed["shaped"]["colour"] in {"red", "green"}
    assert outcomes(told) == ["completed"] * 5


def test_tools(run):
    """llm-katan calls them, as the model of the examples cannot."""
    told = run("tools")
    for name, arguments in (told.printed["called"], told.printed["used"]):
        assert name == "paint"
        assert arguments.keys() == {"colour"}
    assert outcomes(told) == ["completed"] * 2
    assert [receipt["provider"] for receipt in told.receipts] == ["openai", "anthropic"]
