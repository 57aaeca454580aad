"""How our gateway speaks to each kind of provider.

A dialect knows the form of requests and answers, and neither hosts nor keys. What
passes through it goes on as the bytes that came.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from orchestrations.gateway.anthropic_messages import AnthropicMessages
from orchestrations.gateway.bedrock_converse import BedrockConverse
from orchestrations.gateway.openai_chat import OpenAIChat
from orchestrations.gateway.telling import Data, StreamReader, Told


class Dialect(Protocol):
    def path(self, model: str) -> str:
        """Return what is appended to the base URL that the provider's client takes."""

    def compose(
        self, model: str, prompt: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the body that asks for an answer to one prompt.

        Takes temperature, max_tokens, top_p, stop, seed and system, and hands on what
        else there is under its own name. Raises BadParameter.
        """

    def output_limit(self, body: Mapping[str, Any]) -> int | None:
        """Return how many tokens the answer may have; None if the body does not say."""

    def read_body(self, data: Data) -> Told:
        """Return what a whole answer tells, an error's too; raises Unreadable."""


class StreamingDialect(Dialect, Protocol):
    def is_stream(self, body: Mapping[str, Any]) -> bool: ...

    def ask_for_usage(self, raw: bytes, body: Mapping[str, Any]) -> tuple[bytes, bool]:
        """Return the request to forward, and whether usage is to be stripped.

        Takes the UTF-8 bytes of a request and what they say. Where a stream would not
        tell its usage the bytes are made to ask for it, and the client, who did not
        ask, is not to get it.
        """

    def reader(
        self,
        strip_usage: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> StreamReader: ...


OPENAI: StreamingDialect = OpenAIChat("max_completion_tokens")
# Most other hosts know only the name that OpenAI has deprecated.
OPENAI_CHAT: StreamingDialect = OpenAIChat("max_tokens")
ANTHROPIC_MESSAGES: StreamingDialect = AnthropicMessages()
BEDROCK_CONVERSE: Dialect = BedrockConverse()
