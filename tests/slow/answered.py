"""A program that uses a provider's own client as its documentation shows.

    python tests/slow/answered.py openai|anthropic|langchain|tools LUCID_URL LUCID_KEY

Base URL and key are all that it is told. Prints what it got, as one JSON object.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

MODEL = "smollm2-135m"
QUESTION: Any = [{"role": "user", "content": "What does a notary do? In one sentence."}]
ASKED: dict[str, Any] = {"model": MODEL, "messages": QUESTION, "max_tokens": 16}
COLOUR = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}
HEADERS = ("receipt-id", "receipt-hash", "input-salt", "output-salt")


def openai(url: str, key: str) -> dict[str, Any]:
    from openai import AsyncOpenAI, BadRequestError, OpenAI

    base_url = f"{url}/v1"
    client = OpenAI(base_url=base_url, api_key=key)
    plain = client.chat.completions.create(**ASKED)
    raw = client.chat.completions.with_raw_response.create(**ASKED)
    streamed = list(client.chat.completions.create(**ASKED, stream=True))
    counted = list(
        client.chat.completions.create(
            **ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    schema = {"name": "wall", "schema": COLOUR, "strict": True}
    shaped = client.chat.completions.create(
        **ASKED | {"max_tokens": 48},
        response_format={"type": "json_schema", "json_schema": schema},
    )

    async def at_once() -> list[Any]:
        async with AsyncOpenAI(base_url=base_url, api_key=key) as several:
            calls = [several.chat.completions.create(**ASKED) for _ in range(3)]
            return await asyncio.gather(*calls)

    together = asyncio.run(at_once())
    refusal = {}
    try:
        client.chat.completions.create(**ASKED | {"max_tokens": "many"})
    except BadRequestError as error:
        refusal = {"status": error.status_code, "message": error.message}
    return {
        "text": plain.choices[0].message.content,
        "usage": plain.usage.model_dump(),
        "raw": raw.parse().choices[0].message.content,
        "body": raw.http_response.text,
        "headers": {name: raw.headers[f"x-lucid-{name}"] for name in HEADERS},
        "streamed": "".join(_deltas(streamed)),
        "told_usage": [chunk.usage is not None for chunk in streamed],
        "counted": "".join(_deltas(counted)),
        "last_usage": counted[-1].usage.model_dump(),
        "shaped": json.loads(shaped.choices[0].message.content),
        "together": [answer.choices[0].message.content for answer in together],
        "refusal": refusal,
        "calls": 9,
    }


def tools(url: str, key: str) -> dict[str, Any]:
    """Both clients, and a provider that calls the first tool it is given."""
    from anthropic import Anthropic
    from openai import OpenAI

    function = {"name": "paint", "description": "Paint a wall.", "parameters": COLOUR}
    chat = OpenAI(base_url=f"{url}/v1", api_key=key).chat.completions.create(
        **ASKED | {"model": "tiny-1"},
        tools=[{"type": "function", "function": function}],
        tool_choice="required",
    )
    called = chat.choices[0].message.tool_calls[0].function
    message = Anthropic(base_url=url, api_key=key).messages.create(
        **ASKED | {"model": "claude-tiny-1"},
        tools=[{"name": "paint", "input_schema": COLOUR}],
        tool_choice={"type": "any"},
    )
    (used,) = [block for block in message.content if block.type == "tool_use"]
    return {
        "called": [called.name, json.loads(called.arguments)],
        "used": [used.name, used.input],
        "calls": 2,
    }


def _deltas(chunks: list[Any]) -> list[str]:
    return [it.choices[0].delta.content or "" for it in chunks if it.choices]


def anthropic(url: str, key: str) -> dict[str, Any]:
    from anthropic import Anthropic, AsyncAnthropic

    client = Anthropic(base_url=url, api_key=key)
    plain = client.messages.create(**ASKED, system="Be brief.")
    raw = client.messages.with_raw_response.create(**ASKED)
    with client.messages.stream(**ASKED) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    events = [event.type for event in client.messages.create(**ASKED, stream=True)]

    async def asked() -> Any:
        async with AsyncAnthropic(base_url=url, api_key=key) as other:
            return await other.messages.create(**ASKED)

    alone = asyncio.run(asked())
    return {
        "text": plain.content[0].text,
        "usage": [plain.usage.input_tokens, plain.usage.output_tokens],
        "raw": raw.parse().content[0].text,
        "body": raw.http_response.text,
        "headers": {name: raw.headers[f"x-lucid-{name}"] for name in HEADERS},
        "streamed": streamed,
        "final": [final.content[0].text, final.stop_reason, final.usage.output_tokens],
        "events": events,
        "alone": alone.content[0].text,
        "calls": 5,
    }


def langchain(url: str, key: str) -> dict[str, Any]:
    from langchain_openai import ChatOpenAI

    base_url = f"{url}/v1"
    # It asks for usage on its own only at OpenAI's own address.
    model = ChatOpenAI(
        model=MODEL, base_url=base_url, api_key=key, max_tokens=16, stream_usage=True
    )
    plain = model.invoke("What does a notary do?")
    chunks = list(model.stream("What does a notary do?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    longer = ChatOpenAI(model=MODEL, base_url=base_url, api_key=key, max_tokens=48)
    schema = {"title": "wall", "description": "A wall.", **COLOUR}
    shaped = longer.with_structured_output(schema, method="json_schema")
    return {
        "text": plain.content,
        "usage": dict(plain.usage_metadata),
        "streamed": whole.content,
        "streamed_usage": dict(whole.usage_metadata),
        "shaped": shaped.invoke("Choose a colour for the wall."),
        "together": [it.content for it in asyncio.run(model.abatch(["Hm?", "So?"]))],
        "calls": 5,
    }


def main() -> None:
    programs: dict[str, Callable[[str, str], dict[str, Any]]] = {
        "openai": openai,
        "tools": tools,
        "anthropic": anthropic,
        "langchain": langchain,
    }
    print(json.dumps(programs[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
