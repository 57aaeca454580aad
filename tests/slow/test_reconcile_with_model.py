"""An hour's mix of calls in a minute: our books agree with the model's own count."""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.slow.client import Client
from tests.slow.counting_relay import CountingRelay
from tests.slow.gateway import (
    AGENT,
    SECRET,
    assert_log_is_clean,
    assert_sound,
    wait_until,
)
from tests.slow.promises import read_log
from tests.slow.provider import Provider, whole
from tests.slow.server import Account, Installation, Server

pytestmark = pytest.mark.slow

SECONDS = 45
THREADS = 4
DRAIN_SECONDS = 60
MODEL = "smollm2-135m"
FAILING = "gpt-failing"

# US dollars per million tokens, and so 10^-4 cents per token.
RATES = {"input": "0.137", "cache_read": "0.0171", "output": "0.591"}
CENTS = Decimal("0.0001")

TOPICS = ["a notary", "a farrier", "an actuary", "a cooper", "a chandler", "a fletcher"]


@pytest.fixture
def installation(default_installation) -> Installation:
    made: Installation = default_installation
    return made


@pytest.fixture
def relay(model) -> Iterator[CountingRelay]:
    with CountingRelay(model.url) as serving:
        yield serving


@pytest.fixture
def broken() -> Iterator[Provider]:
    with Provider() as serving:
        serving.plays(whole({"error": {"message": "No."}}, 500))
        yield serving


@pytest.fixture
def account(installation, relay, broken) -> Account:
    account = installation.new_account("acme")
    once, twice = {"retries": 0}, {"retries": 1}
    url = f"{relay.url}/v1"
    installation.set_provider(account, "custom", url, SECRET, [MODEL], once)
    url = f"{broken.url}/v1"
    installation.set_provider(account, "openai", url, SECRET, [FAILING], twice)
    installation.set_price(account, "custom", MODEL, **RATES)
    return account


class Load:
    """Threads that make calls of each kind in turn, half of them within a run."""

    def __init__(self, server: Server, account: Account) -> None:
        self._server, self._account = server, account
        self._numbers = itertools.count()
        self._until = time.monotonic() + SECONDS
        self.made: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self.runs: list[str] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self) -> None:
        kinds = [
            self._inference,
            self._chat,
            self._messages,
            self._chat_stream,
            self._messages_stream,
            self._leave_stream,
            self._leave,
            self._refused,
            self._failing,
        ]
        try:
            with self._server.client(self._account) as client:
                run = client.post(
                    "/v1/orchestrations", {"agent_id": AGENT, "max_steps": 1000}
                ).json()["id"]
                self.runs.append(run)
                while time.monotonic() < self._until:
                    number = next(self._numbers)
                    kind = kinds[number % len(kinds)]
                    self.made[kind.__name__] += 1
                    kind(client, number, run if number % 2 else None)
        except Exception as error:
            self.failures.append(error)

    def _body(self, number: int, **members: Any) -> dict[str, Any]:
        topic = TOPICS[number % len(TOPICS)]
        question = {"role": "user", "content": f"What does {topic} do?"}
        limit = 8 + number % 17
        return {
            "model": MODEL,
            "messages": [question],
            "max_tokens": limit,
            **members,
        }

    def _inference(self, client: Client, number: int, run: str | None) -> None:
        body: dict[str, Any] = {"model": MODEL, "agent_id": AGENT}
        body |= {"prompt": f"Say {number}.", "parameters": {"max_tokens": 8}}
        body |= {"orchestration_id": run} if run else {}
        answer = client.post("/v1/orchestrations/llm-inference", body)
        assert answer.status == 200, answer.body

    def _chat(self, client: Client, number: int, run: str | None) -> None:
        self._relayed(client, "/v1/chat/completions", self._body(number), run)

    def _messages(self, client: Client, number: int, run: str | None) -> None:
        self._relayed(client, "/v1/messages", self._body(number), run)

    def _chat_stream(self, client: Client, number: int, run: str | None) -> None:
        body = self._body(number, stream=True)
        self._relayed(client, "/v1/chat/completions", body, run)

    def _messages_stream(self, client: Client, number: int, run: str | None) -> None:
        self._relayed(client, "/v1/messages", self._body(number, stream=True), run)

    def _relayed(
        self,
        client: Client,
        path: str,
        body: dict[str, Any],
        run: str | None,
        status: int = 200,
    ) -> None:
        headers = {"X-Lucid-Orchestration": run} if run else None
        answer = client.post(path, body, headers)
        assert answer.status == status, answer.body

    def _leave_stream(self, client: Client, number: int, run: str | None) -> None:
        """Hang up after the first bytes."""
        paths = ("/v1/chat/completions", "/v1/messages")
        body = self._body(number, stream=True, max_tokens=40)
        headers = {"X-Lucid-Orchestration": run} if run else None
        with self._server.client(self._account) as other:
            response = other.begin(paths[number // 9 % 2], body, headers)
            assert response.status == 200
            response.read1(1)
            other.leave()

    def _leave(self, client: Client, number: int, run: str | None) -> None:
        """Hang up before the first bytes."""
        body = self._body(number, max_tokens=40)
        headers = {"X-Lucid-Orchestration": run} if run else None
        hasty = Client(self._server.port, self._account.key, timeout=0.1)
        with hasty, pytest.raises(TimeoutError):
            hasty.post("/v1/chat/completions", body, headers)

    def _refused(self, client: Client, number: int, run: str | None) -> None:
        body = self._body(number, max_tokens="many")
        self._relayed(client, "/v1/chat/completions", body, run, status=400)

    def _failing(self, client: Client, number: int, run: str | None) -> None:
        body = self._body(number, model=FAILING)
        self._relayed(client, "/v1/chat/completions", body, run, status=500)


def exactly(client: Client, path: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(client.get(path).body, parse_float=Decimal)
    return told


def total(receipts: list[dict[str, Any]], name: str) -> int:
    return sum(receipt["usage"].get(name, 0) for receipt in receipts)


def test_our_totals_are_the_models(installation, server, account, model, relay, broken):
    before = model.counted()
    load = Load(server, account)
    load.run()
    assert not load.failures, str(load.failures)
    wait_until(lambda: installation.calls_under_way(account) == 0, DRAIN_SECONDS)
    counted = model.counted() - before
    with server.client(account) as client:
        for run in load.runs:
            assert client.post(f"/v1/orchestrations/{run}/complete", {}).status == 200
        costs = exactly(client, "/v1/costs")["totals"]
        listed = exactly(client, "/v1/orchestrations?limit=200")["orchestrations"]
    every = list(read_log(server, account))
    receipts = [it for it in every if it["receipt_type"] == "inference"]
    print(dict(load.made), counted, f"{len(receipts)} receipts")

    # One receipt for each call at a provider, and each call that was made is there.
    kinds = load.made
    assert relay.requests == sum(kinds.values()) - kinds["_failing"]
    assert len(broken.requests) == 2 * kinds["_failing"]
    assert len(receipts) == relay.requests + len(broken.requests) == costs["calls"]
    assert len({receipt["run_id"] for receipt in receipts}) == len(receipts)
    failed = [receipt for receipt in receipts if receipt["outcome"] != "completed"]
    assert len(failed) == kinds["_refused"] + 2 * kinds["_failing"] == costs["failed"]
    assert {receipt["outcome"] for receipt in failed} == {"failed"}
    left = [receipt for receipt in receipts if receipt.get("delivered") is False]
    assert 0 < len(left) <= kinds["_leave_stream"]
    assert not any(receipt.get("usage_estimated") for receipt in receipts)

    # Tokens: the log, the rollups, the runs, and the model's own counters.
    for name, true in (
        ("input_tokens", counted.prompt),
        ("cache_read_tokens", counted.cached),
        ("output_tokens", counted.generated),
    ):
        assert costs[name] == total(receipts, name) == true > 0

    # And what they cost, to the nanocent.
    cost = CENTS * sum(
        Decimal(RATES[rate]) * number
        for rate, number in (
            ("input", counted.prompt),
            ("cache_read", counted.cached),
            ("output", counted.generated),
        )
    )
    assert costs["cost_cents"] == cost
    assert sum(Decimal(receipt["cost"]["cents"]) for receipt in receipts) == cost
    assert costs["unpriced"] == costs["flagged"] == 0
    within = [receipt for receipt in receipts if "orchestration_id" in receipt]
    assert 0 < len(within) < len(receipts)
    assert sum(run["inference_count"] for run in listed) == len(within)
    spent = sum(Decimal(receipt["cost"]["cents"]) for receipt in within)
    assert sum(run["inference_cost_cents"] for run in listed) == spent
    assert_sound(installation, account)
    assert_log_is_clean(server)
