"""A LangChain program whose calls the published connector notarises.

The program knows nothing of Lucid but two things: it opens an orchestration before
and completes it after. In between `truthlocks-langchain`, unmodified, reports each
call; told that the agent is the orchestration, its calls belong to that.

    LUCID_API_KEY=lk_test_... python examples/agent_with_langchain.py
"""

import asyncio
import os
import sys
from typing import Any

import httpx
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from local_model import MODEL, model_server
from truthlocks_langchain import MAIPCallbackHandler

LUCID = os.environ.get("LUCID_URL", "http://127.0.0.1:8000")
TOPIC = "keeping receipts"


def chain(url: str) -> Any:
    """Return a chain of two calls: name a reason, then make a slogan of it."""
    model = ChatOpenAI(
        model=MODEL,
        base_url=f"{url}/v1",
        api_key="none",
        temperature=0,
        max_tokens=40,
        max_retries=0,  # else a second call would be made that nobody reports
    )
    reason = ChatPromptTemplate.from_template("Give one reason for {topic}.")
    slogan = ChatPromptTemplate.from_template("Make a short slogan of this: {reason}")
    text = StrOutputParser()
    return {"reason": reason | model | text} | slogan | model | text


def main() -> int:
    key = os.environ.get("LUCID_API_KEY")
    if not key:
        sys.exit("Set LUCID_API_KEY to the key that `make run` printed.")
    headers = {"Authorization": f"Bearer {key}"}
    with model_server() as url, httpx.Client(base_url=LUCID, headers=headers) as lucid:
        start = {"agent_id": "maip-agent:copywriter", "workflow_id": "slogan"}
        run = post(lucid, "/v1/orchestrations", start)["orchestration_id"]
        os.environ |= {
            "MAIP_API_URL": f"{LUCID}/v1",
            "MAIP_API_KEY": key,
            "MAIP_AGENT_ID": run,
        }
        handler = MAIPCallbackHandler()
        said = chain(url).invoke({"topic": TOPIC}, config={"callbacks": [handler]})
        # LangChain logs what a callback raises and goes on: here it is raised.
        asyncio.run(handler.aclose())
        ended = post(lucid, f"/v1/orchestrations/{run}/complete", {})
        print(f"{run}\n> {TOPIC}\n\n{said.strip()}\n")
        print(
            f"{ended['status']}: {ended['inference_count']} calls,"
            f" {ended['total_tokens']} tokens, {ended['total_cost_cents']:.6f} cents"
        )
        if ended["unpriced_count"]:
            print("Calls of this model have no price yet: see `manage.py set_price`.")
        print()
        return show_verdicts(lucid, run)


def show_verdicts(lucid: httpx.Client, run: str) -> int:
    """Ask for a verdict on each receipt of the run; return 0 if all are valid."""
    listed = lucid.get(f"/v1/agent-receipts/agent/{run}").raise_for_status().json()
    invalid = 0
    for receipt in reversed(listed["receipts"]):
        path = f"/v1/agent-receipts/verify/{receipt['id']}"
        told = lucid.get(path).raise_for_status().json()
        invalid += not told["valid"]
        print(f"{told['verdict']:8}leaf {receipt['log_index']}  {receipt['action']}")
    return min(invalid, 1)


def post(lucid: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return dict(lucid.post(path, json=body).raise_for_status().json())


if __name__ == "__main__":
    sys.exit(main())
