"""Agents at work, so that every page of a demo shows what happened (`make demo`).

They know nothing of Lucid but its public API. Most call the model through Lucid's
gateway, which makes the receipt itself; one calls the model and reports it. Not all
goes well, on purpose, as it does not where agents work.

    LUCID_API_KEY=lk_test_... LUCID_URL=... MODEL_URL=... python examples/demo_agents.py
"""

import hashlib
import json
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from local_model import MODEL, weights

LUCID = os.environ.get("LUCID_URL", "http://127.0.0.1:8000")
SALT = secrets.token_bytes(16)
TOO_LONG = 6000  # words; the model reads 4096 tokens
PATIENCE = 60  # seconds

TICKET = "I was charged twice for order 4711 and want one payment back."
CLAIM = "The storm broke my window on Tuesday. I ask for 300 dollars."
NOTES = ["Send the invoice.", "Call the printer.", "Order more paper."]


def digest(text: str) -> str:
    return hashlib.sha256(SALT + text.encode()).hexdigest()


class Run:
    """An orchestration. Calls in it go through the gateway."""

    def __init__(self, lucid: httpx.Client, agent: str, workflow: str, **more: Any):
        self.lucid = lucid
        self.agent, self.workflow = agent, workflow
        start = {"agent_id": f"maip-agent:{agent}", "workflow_id": workflow, **more}
        self.id = self.post("/v1/orchestrations", start)["orchestration_id"]
        self.headers = {"X-Lucid-Orchestration": self.id}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(self.lucid.post(path, json=body).raise_for_status().json())

    def infer(self, prompt: str, most: int = 32) -> str:
        """Call `llm-inference`, as one who knows Lucid does."""
        body = {
            "model": MODEL,
            "prompt": prompt,
            "agent_id": f"maip-agent:{self.agent}",
            "orchestration_id": self.id,
            "parameters": {"max_tokens": most, "temperature": 0},
        }
        answer = self.post("/v1/orchestrations/llm-inference", body)
        return str(answer["response"]).strip()

    def chat(self, prompt: str, most: int = 32) -> str:
        """Call as an OpenAI client does."""
        answer = self.lucid.post(
            "/v1/chat/completions", json=request(prompt, most), headers=self.headers
        )
        text = answer.raise_for_status().json()["choices"][0]["message"]["content"]
        return str(text).strip()

    def message(self, prompt: str, most: int = 32) -> str:
        """Call as an Anthropic client does."""
        answer = self.lucid.post(
            "/v1/messages", json=request(prompt, most), headers=self.headers
        )
        return str(answer.raise_for_status().json()["content"][0]["text"]).strip()

    def stream(self, prompt: str, most: int = 32, pieces: int | None = None) -> str:
        """Stream as an OpenAI client does; `pieces`: leave after so many."""
        body = request(prompt, most) | {"stream": True}
        text: list[str] = []
        with self.lucid.stream(
            "POST", "/v1/chat/completions", json=body, headers=self.headers
        ) as answer:
            self.last_call = answer.raise_for_status().headers["X-Lucid-Inference-Id"]
            for line in answer.iter_lines():
                if len(text) == pieces:
                    break
                if line.startswith("data: {"):
                    delta = json.loads(line[6:])["choices"][0]["delta"]
                    text += [delta["content"]] if delta.get("content") else []
        return "".join(text).strip()

    def step(
        self, action: str, name: str, given: str, found: str, cost_cents: float = 0
    ) -> str:
        step = {
            "action": action,
            "name": name,
            "input_hash": digest(given),
            "output_hash": digest(found),
            "result": found,
            "cost_cents": cost_cents,
        }
        self.post(f"/v1/orchestrations/{self.id}/steps", step)
        return found

    def complete(self, output: str) -> None:
        end = {"output_hash": digest(output)}
        self._tell(self.post(f"/v1/orchestrations/{self.id}/complete", end))

    def fail(self, code: str, message: str) -> None:
        end = {"code": code, "message": message}
        ended = self.post(f"/v1/orchestrations/{self.id}/fail", end)
        self._tell(ended, f" ({message})")

    def cancel(self, reason: str) -> None:
        end = {"reason": reason}
        ended = self.post(f"/v1/orchestrations/{self.id}/cancel", end)
        self._tell(ended, f" ({reason})")

    def _tell(self, ended: dict[str, Any], why: str = "") -> None:
        say(
            self.agent,
            f"{self.workflow}: {ended['status']}{why},"
            f" {ended['inference_count']} calls, {ended['step_count']} steps,"
            f" {ended['total_tokens']} tokens,"
            f" {ended['total_cost_cents']:.6f} cents",
        )


def request(prompt: str, most: int) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": most,
        "temperature": 0,
    }


def say(agent: str, text: str) -> None:
    print(f"{agent:14} {text}", flush=True)


def answer_ticket(lucid: httpx.Client) -> None:
    run = Run(lucid, "support-desk", "answer-ticket", budget_cents=5, name="Ticket 1")
    topic = run.chat(f"Name the topic in two words: {TICKET}", 12)
    order = run.step("tool_call", "look_up_order", "4711", "2 payments of $19.00", 0.02)
    run.step("decision", "refund", topic, "refund one payment")
    draft = run.stream(f"Order: {order}. Answer in one sentence: {TICKET}", 40)
    run.step("guardrail_check", "no_promises", draft, "passed")
    run.complete(draft)


def write_slogans(lucid: httpx.Client) -> None:
    run = Run(lucid, "copywriter", "slogan")
    reason = run.stream("Give one reason for keeping receipts.")
    slogan = run.stream(f"Make a short slogan of this: {reason}", 16)
    run.complete(run.message(f"Say it shorter: {slogan}", 12))


def judge_claim(lucid: httpx.Client) -> None:
    run = Run(lucid, "claims-desk", "judge-claim", metadata={"claim": "C-1042"})
    facts = run.infer(f"List the facts: {CLAIM}")
    proposal = run.infer(f"Should we pay? {facts}")
    run.step("guardrail_check", "names_an_amount", proposal, "refused")
    run.fail("GUARDRAIL_REFUSED", "the proposal names no amount that was checked")


def summarise(lucid: httpx.Client) -> None:
    run = Run(lucid, "researcher", "summarise")
    book = "word " * TOO_LONG
    try:
        run.chat(f"Summarise: {book}")
    except httpx.HTTPStatusError as error:
        say("researcher", f"was refused by the model: {told(error.response)}")
    run.complete(run.chat(f"Summarise: {book[:500]}"))


def leave_early(lucid: httpx.Client) -> None:
    run = Run(lucid, "chat-window", "small-talk")
    run.stream("Tell me a long story.", 48, pieces=3)
    wait_for(lucid, f"/v1/inferences/{run.last_call}")
    run.cancel("the reader left in the middle of a stream")


def spend_too_much(lucid: httpx.Client) -> None:
    run = Run(lucid, "translator", "translate", budget_cents=0.001)
    try:
        run.chat("Say `good morning` in French.")
    except httpx.HTTPStatusError as error:
        run.fail("BUDGET_EXCEEDED", told(error.response))


def ask_without_run(lucid: httpx.Client) -> None:
    body = {
        "model": MODEL,
        "prompt": "What is a ledger?",
        "agent_id": "maip-agent:help-desk",
        "parameters": {"max_tokens": 24, "system": "Answer in one sentence."},
    }
    answer = lucid.post("/v1/orchestrations/llm-inference", json=body)
    told = answer.raise_for_status().json()
    say("help-desk", f"one call in a run of its own, {told['cost_cents']:.6f} cents")


def report_batch(lucid: httpx.Client, model: httpx.Client) -> None:
    """Call the model itself and report it, but for one call, which shows.

    It names the model by its file, for which nobody has set a price.
    """
    run = Run(lucid, "night-batch", "sort-notes")
    for number, note in enumerate(NOTES, 1):
        clock = time.monotonic()
        body = request(f"One word for this note: {note}", 4)
        answer = model.post("/v1/chat/completions", json=body)
        told = answer.raise_for_status().json()
        call = {
            "sequence": number,
            "model": weights().name,
            "provider": "custom",
            "usage": told["usage"],
            "latency_ms": round((time.monotonic() - clock) * 1000),
            "input_hash": digest(note),
        }
        if number != 2:
            run.post(f"/v1/orchestrations/{run.id}/inferences", call)
    run.complete("sorted")
    record(lucid, told)


def record(lucid: httpx.Client, told: dict[str, Any]) -> None:
    """Have a run of the model on this machine notarised, without an orchestration."""
    policy = Path(__file__).with_name("policy.json").read_bytes()
    claims = {
        "model_passport_id": MODEL,
        "compute_passport_id": socket.gethostname(),
        "policy_hash": hashlib.sha256(policy).hexdigest(),
        "runtime": "llama.cpp (xllamacpp)",
        "tokens_in": told["usage"]["prompt_tokens"],
        "tokens_out": told["usage"]["completion_tokens"],
        "ttft_ms": round(told["timings"]["prompt_ms"]),
    }
    lucid.post("/v1/receipts", json=claims).raise_for_status()
    say("night-batch", "had a run of the model notarised")


def forget(lucid: httpx.Client) -> None:
    run = Run(lucid, "night-batch", "tidy-up", timeout_seconds=1)
    run.step("tool_call", "list_files", "/", "nothing", 0.004)
    say("night-batch", "tidy-up: never came back, and times out")


def told(answer: httpx.Response) -> str:
    error = answer.json()["error"]  # the provider's has a message, ours is one
    return str(error["message"] if isinstance(error, dict) else error)


def wait_for(lucid: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while lucid.get(path).status_code == 404 and time.monotonic() < deadline:
        time.sleep(0.1)


def work(lucid: httpx.Client, model: httpx.Client) -> None:
    forget(lucid)
    answer_ticket(lucid)
    write_slogans(lucid)
    judge_claim(lucid)
    summarise(lucid)
    leave_early(lucid)
    spend_too_much(lucid)
    ask_without_run(lucid)
    report_batch(lucid, model)
    totals = lucid.get("/v1/costs").raise_for_status().json()["totals"]
    print(
        f"\nThe agents are done. In the last 30 days: {totals['calls']} calls,"
        f" {totals['failed']} of them failed, {totals['unpriced']} without a price,"
        f" {totals['total_cost_cents']:.6f} cents.",
        flush=True,
    )


def main() -> int:
    key = os.environ.get("LUCID_API_KEY")
    model_url = os.environ.get("MODEL_URL")
    if not key or not model_url:
        sys.exit("Set LUCID_API_KEY and MODEL_URL, or run `make demo`, which does.")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=LUCID, headers=headers, timeout=PATIENCE) as lucid,
        httpx.Client(base_url=model_url, timeout=PATIENCE) as model,
    ):
        try:
            work(lucid, model)
        except httpx.HTTPError as error:
            sys.exit(f"The agents gave up: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
