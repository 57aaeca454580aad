"""What programs record in Acme's name, by the API: enough for every page to show.

Runs of every ending, reported and witnessed calls, a gap, a failure, a model without a
price, and names as long and as odd as the API takes them.
"""

from dataclasses import dataclass
from typing import Any

from tests.caller import RUN
from tests.orchestrations.provider import CHAT
from tests.slow.client import Client
from tests.slow.provider import Provider, whole

MODEL = "tiny-1"  # of the provider behind the gateway
CLAUDE = "claude-sonnet-4-5"
UNPRICED = "nobody-knows-its-price"
LONG = ("a-name-without-an-end-" * 9)[:189]  # 200 characters with its prefix
ODD = "<b>Größe & Ärger</b> \"quoted\" 'n' 🧾 {{ run }} =1+1"
PROMPT = [{"role": "user", "content": "Is it covered?"}]
DAYS = 86_400
CHEAP, DEAR = 5, 14  # reported calls of a run
NAME_OF_DEAR = "Claim 4711"


@dataclass
class Run:
    client: Client
    id: str

    def post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        return post(self.client, f"/v1/orchestrations/{self.id}/{what}", body)

    def report(self, sequence: int, **members: Any) -> dict[str, Any]:
        """Report a call that the program made by itself."""
        call = {
            "model": CLAUDE,
            "provider": "anthropic",
            "prompt_tokens": 1200 + 300 * sequence,
            "completion_tokens": 150 + 10 * sequence,
            "latency_ms": 700 + 90 * sequence,
            "sequence": sequence,
            "input_hash": f"{sequence:064x}",
        }
        return self.post("inferences", call | members)

    def ask(self, **members: Any) -> None:
        """Make a call through the gateway, which sees it."""
        body = {"model": MODEL, "messages": PROMPT, "max_tokens": 64} | members
        told = {"X-Lucid-Orchestration": self.id}
        self.client.post("/v1/chat/completions", body, told)

    def step(self, action: str, name: str, **members: Any) -> None:
        self.post("steps", {"action": action, "name": name, **members})


def post(client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, body)
    assert answer.status in (200, 201), answer
    return answer.json()


def start(client: Client, agent: str, workflow: str, **members: Any) -> Run:
    body = {
        "agent_id": f"maip-agent:{agent}",
        "workflow_id": workflow,
        "timeout_seconds": 30 * DAYS,
        **members,
    }
    return Run(client, post(client, "/v1/orchestrations", body)["orchestration_id"])


def record_last_month(client: Client, provider: Provider) -> dict[str, str]:
    """Return the names of what pages are asked for."""
    provider.plays(whole(CHAT))
    small = _settle_claim(client, "Claim 17", CHEAP)
    dear = _settle_claim(client, NAME_OF_DEAR, DEAR, budget_cents=60)
    _write_slogans(client)
    receipt = post(client, "/v1/receipts", RUN)["receipt"]
    _fail(client, provider)
    return {"run": dear, "small_run": small, "receipt": receipt["receipt_id"]}


def record_today(client: Client) -> dict[str, str]:
    """What is under way, timed out, unpriced, incomplete, or hard to show."""
    running = start(client, "claims-desk", "claims", name="Claim 5012")
    running.report(1)
    gap = start(client, "night-batch", "sort-notes", timeout_seconds=1)
    for sequence in (1, 2, 5):
        gap.report(sequence, model=UNPRICED, provider="custom")
    odd = start(client, LONG, LONG, name=ODD, metadata={"why": LONG, "how": [ODD]})
    odd.report(1, model=LONG, provider="custom", step_name=ODD, cost_cents=0.0012)
    odd.step("decision", ODD, result={"said": LONG}, agent_id=LONG)
    odd.post("fail", {"code": "ODD", "message": f"{ODD} {LONG * 5}"})
    start(client, "chat-window", "small-talk").post("cancel", {"reason": "left"})
    for _ in range(60):  # more than a page
        post(client, "/v1/receipts", RUN)
    return {"running": running.id, "gap": gap.id, "odd": odd.id}


def _settle_claim(client: Client, name: str, calls: int, **members: Any) -> str:
    run = start(client, "claims-desk", "claims", name=name, **members)
    run.ask()
    for sequence in range(1, calls + 1):
        run.report(sequence, step_name="read" if sequence % 2 else "decide")
    run.step("tool_call", "look_up_policy", result="policy 17 found", duration_ms=84)
    run.step("guardrail_check", "no_promises", result="passed", cost_cents=0.25)
    run.post("complete", {"output": {"decision": "pay"}})
    return run.id


def _write_slogans(client: Client) -> None:
    run = start(client, "copywriter", "slogan")
    run.ask()
    run.ask(stream=False, max_tokens=16)
    run.post("complete", {"output": "Keep your receipts."})


def _fail(client: Client, provider: Provider) -> None:
    """Meet a provider that refuses, and a guardrail."""
    provider.plays(whole({"error": {"message": "too long"}}, 400))
    run = start(client, "researcher", "summarise")
    run.ask()
    run.step("guardrail_check", "names_an_amount", result="refused")
    run.post("fail", {"code": "GUARDRAIL_REFUSED", "message": "names no amount"})
