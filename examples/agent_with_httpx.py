"""A plain agent, three model calls and a tool, with every call in a notarised run.

Needs nothing but httpx to talk to Lucid. Opens an orchestration, records each call
as soon as it has its answer (the provider's own usage object, the hashes, a counter
so that gaps would show), ends the run, and then trusts nobody: the final receipt is
verified offline, and its root is derived from the hashes that the agent itself kept.

    LUCID_API_KEY=lk_test_... python examples/agent_with_httpx.py
"""

import hashlib
import os
import secrets
import sys
import time
from typing import Any

import httpx
from local_model import MODEL, model_server
from offline import verify_offline

LUCID = os.environ.get("LUCID_URL", "http://127.0.0.1:8000")
TICKET = "I was charged twice for order 4711 and want one payment back."
ORDERS = {"4711": "2 payments of $19.00 on November 20"}

# Keep it with the text of the calls: with both, the hashes in the receipts can be
# shown to be of that text, and without it nobody can guess the text from them.
SALT = secrets.token_bytes(16)


def digest(text: str) -> str:
    return hashlib.sha256(SALT + text.encode()).hexdigest()


class Agent:
    """Answers a ticket; `hashes` are those of the receipts it was given."""

    def __init__(self, lucid: httpx.Client, model: httpx.Client) -> None:
        self.lucid = lucid
        self.model = model
        self.hashes: list[str] = []
        start = {
            "agent_id": "maip-agent:support-desk",
            "workflow_id": "answer-ticket",
            "name": "Ticket 1",
            "model": MODEL,
            "budget_cents": 5,
        }
        self.run = self._post("/v1/orchestrations", start)["orchestration_id"]

    def answer(self, ticket: str) -> str:
        topic = self.ask("classify", f"Name the topic in two words: {ticket}")
        order = self.look_up("4711")
        draft = self.ask("draft", f"Topic: {topic}. Order: {order}. Answer: {ticket}")
        return self.ask("shorten", f"Say this in one friendly sentence: {draft}")

    def ask(self, step: str, prompt: str) -> str:
        started_at, clock = time.time(), time.monotonic()
        request = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 48,
            "temperature": 0,
        }
        answer = self.model.post("/v1/chat/completions", json=request)
        answer.raise_for_status()
        told = answer.json()
        text = str(told["choices"][0]["message"]["content"]).strip()
        call = {
            "sequence": len(self.hashes) + 1,
            "step_name": step,
            "model": MODEL,
            "provider": "custom",
            "usage": told["usage"],
            "latency_ms": round((time.monotonic() - clock) * 1000),
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started_at)),
            "request_id": told["id"],
            "input_hash": digest(prompt),
            "output_hash": digest(text),
        }
        recorded = self._post(f"/v1/orchestrations/{self.run}/inferences", call)
        self.hashes.append(recorded["receipt_hash"])
        print(
            f"{step:9}{recorded['usage']['input_tokens']:4} new"
            f" + {recorded['usage']['cache_read_tokens']:3} cached tokens in,"
            f" {recorded['completion_tokens']:2} out, {cents(recorded['cost_cents'])}"
        )
        return text

    def look_up(self, order: str) -> str:
        found = ORDERS[order]
        step = {
            "action": "tool_call",
            "name": "look_up_order",
            "input_hash": digest(order),
            "output_hash": digest(found),
            "result": "found",
        }
        self._post(f"/v1/orchestrations/{self.run}/steps", step)
        print("look_up  a tool call")
        return found

    def complete(self, reply: str) -> dict[str, Any]:
        end = {"output_hash": digest(reply)}
        return self._post(f"/v1/orchestrations/{self.run}/complete", end)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.lucid.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())


def cents(amount: float | None) -> str:
    return "unpriced" if amount is None else f"{amount:.6f} cents"


def tree_head(hashes: list[bytes]) -> bytes:
    """Return the root of the tree over receipt hashes (RFC 6962 section 2.1)."""
    if len(hashes) == 1:
        return hashlib.sha256(b"\0" + hashes[0]).digest()
    left = 1 << (len(hashes) - 1).bit_length() - 1
    nodes = tree_head(hashes[:left]) + tree_head(hashes[left:])
    return hashlib.sha256(b"\1" + nodes).digest()


def verify(lucid: httpx.Client, run: str, hashes: list[str]) -> int:
    """Verify the final receipt of a run over calls with these receipt hashes."""
    final = read(lucid, f"/v1/orchestrations/{run}/receipts")["final_receipt"]
    proof = read(lucid, f"/v1/receipts/{final['receipt_id']}/proof")
    # Whoever audits pins this key once, from a source they trust.
    vkey = read(lucid, "/v1/signer/pubkey")["vkey"]
    counted = {
        "count": len(hashes),
        "root": tree_head([bytes.fromhex(text) for text in hashes]).hex(),
    }
    if final["inferences"] != counted:
        print(f"INVALID: the receipt counts {final['inferences']}, we {counted}")
        return 1
    told = f"{counted['root']} over our {len(hashes)} calls"
    print(f"ok      inferences         {told}", flush=True)
    return verify_offline(final, proof, vkey)


def read(lucid: httpx.Client, path: str) -> dict[str, Any]:
    return dict(lucid.get(path).raise_for_status().json())


def main() -> int:
    key = os.environ.get("LUCID_API_KEY")
    if not key:
        sys.exit("Set LUCID_API_KEY to the key that `make run` printed.")
    headers = {"Authorization": f"Bearer {key}"}
    with (
        model_server() as url,
        httpx.Client(base_url=url, timeout=120) as model,
        httpx.Client(base_url=LUCID, headers=headers) as lucid,
    ):
        agent = Agent(lucid, model)
        print(f"{agent.run}\n> {TICKET}\n")
        reply = agent.answer(TICKET)
        ended = agent.complete(reply)
        print(f"\n{reply}\n")
        print(
            f"{ended['status']}: {ended['inference_count']} calls,"
            f" {ended['step_count']} step, {ended['total_tokens']} tokens,"
            f" {cents(ended['total_cost_cents'])}"
        )
        if ended["unpriced_count"]:
            print("Calls of this model have no price yet: see `manage.py set_price`.")
        print()
        return verify(lucid, agent.run, agent.hashes)


if __name__ == "__main__":
    sys.exit(main())
