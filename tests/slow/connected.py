"""A program that uses the published connectors as their documentation shows.

    python tests/slow/connected.py openai|anthropic|langchain MODEL_URL

MAIP_API_URL, MAIP_API_KEY and MAIP_AGENT_ID say where the receipts go. Prints what
the connector makes of our answers, as one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

MODEL = "smollm2-135m"
PRICED = (
    "gpt-4o-mini"  # the connectors have a price for it, and llama.cpp takes any name
)
QUESTION = [{"role": "user", "content": "What does a notary do? In one sentence."}]


def openai(url: str) -> Any:
    from openai import OpenAI
    from truthlocks_openai import MAIPOpenAIWrapper

    client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    wrapper = MAIPOpenAIWrapper(client)

    def ask(model: str) -> None:
        wrapper.chat_completions_create(
            model=model, messages=QUESTION, max_tokens=24, temperature=0
        )

    async def in_a_loop() -> None:
        ask(PRICED)  # the receipt goes off in the background
        await wrapper.aclose()

    ask(MODEL)
    asyncio.run(in_a_loop())
    return wrapper


def anthropic(url: str) -> Any:
    from anthropic import Anthropic
    from truthlocks_anthropic import MAIPAnthropicWrapper

    client = Anthropic(base_url=url, api_key="none", max_retries=0)
    wrapper = MAIPAnthropicWrapper(client)
    for _ in range(2):
        wrapper.messages_create(
            model=MODEL, messages=QUESTION, system="Be brief.", max_tokens=24
        )
    return wrapper


def langchain(url: str) -> Any:
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from truthlocks_langchain import MAIPCallbackHandler

    def count_words(text: str) -> int:
        """Count the words of a text."""
        return len(text.split())

    counter = tool(count_words)
    handler = MAIPCallbackHandler()
    heard = {"callbacks": [handler]}
    model = ChatOpenAI(
        model=MODEL, base_url=f"{url}/v1", api_key="none", max_tokens=24, max_retries=0
    )
    prompt = ChatPromptTemplate.from_template("What does a {trade} do?")
    for trade in ("notary", "farrier"):
        said = (prompt | model).invoke({"trade": trade}, config=heard)
        counter.invoke({"text": said.content}, config=heard)
    return handler


async def what_the_client_makes_of(submitted: list[Any]) -> dict[str, Any]:
    from maip_ai_connectors import MAIPClient

    async with MAIPClient() as client:
        ids = [receipt.receipt_id for receipt in submitted]
        told = {
            "submitted": submitted,
            "fetched": [await client.get_receipt(name) for name in ids],
            "verdicts": [await client.verify_receipt(name) for name in ids],
            "listed": await client.list_receipts(),
            "calls": await client.list_receipts(receipt_type="llm_call_receipt"),
        }
    return {
        name: [item.model_dump(mode="json") for item in items]
        for name, items in told.items()
    }


def main() -> None:
    programs: dict[str, Callable[[str], Any]] = {
        "openai": openai,
        "anthropic": anthropic,
        "langchain": langchain,
    }
    wrapper = programs[sys.argv[1]](sys.argv[2])
    asyncio.run(wrapper.flush())  # raises what could not be delivered
    submitted = wrapper.get_submitted_receipts()
    print(json.dumps(asyncio.run(what_the_client_makes_of(submitted))))


if __name__ == "__main__":
    main()
