"""What a caller may ask of the gateway, and how it becomes a provider's request."""

import json
import re
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from msgspec import Meta

from lucid.api.errors import invalid
from lucid.api.strict_json import without_literals
from orchestrations.claims import ID, ProviderName
from orchestrations.gateway.accounts import Account
from orchestrations.gateway.dialects import (
    ANTHROPIC_MESSAGES,
    BEDROCK_CONVERSE,
    OPENAI,
    OPENAI_CHAT,
    Dialect,
)
from orchestrations.gateway.parameters import BadParameter
from orchestrations.gateway.signing import sign
from orchestrations.gateway.upstream import Headers, Request
from receipts.claims import NO_CONTROLS, Text

ANTHROPIC_VERSION = (b"anthropic-version", b"2023-06-01")  # if no other is given
# Of a drop-in request, what the provider is to know besides the body.
FORWARDED = ("accept", "anthropic-version", "anthropic-beta", "openai-beta")

DIALECTS: dict[str, Dialect] = {
    "openai": OPENAI,
    "custom": OPENAI_CHAT,
    "anthropic": ANTHROPIC_MESSAGES,
    "bedrock": BEDROCK_CONVERSE,
}

# Neither control characters nor halves of others, which no receipt can hold.
NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
QUERY = re.compile(r"[!-~]*")  # what an address can hold

RunId = Annotated[str, Meta(pattern=rf"\A{ID}\Z")]


class LlmInference(msgspec.Struct, frozen=True):
    """The body of POST /v1/orchestrations/llm-inference."""

    model: Text
    prompt: Annotated[str, Meta(min_length=1)]
    agent_id: Text
    parameters: dict[str, Any] | None = None
    provider: ProviderName | None = None
    orchestration_id: RunId | None = None

    def compose(self, dialect: Dialect) -> bytes:
        """Return the provider's body; raises the 400 that names a parameter."""
        parameters = without_literals(self.parameters or {})
        try:
            body = dialect.compose(self.model, self.prompt, parameters)
        except BadParameter as error:
            name = f"parameters.{error.name}"
            raise invalid({name: [error.complaint]}) from None
        return msgspec.json.encode(body)


class Attachment(msgspec.Struct, frozen=True, rename="kebab"):
    """What headers say of a drop-in call: X-Lucid-Agent and X-Lucid-Orchestration."""

    x_lucid_agent: Annotated[str, Meta(max_length=200, pattern=NO_CONTROLS)] = ""
    x_lucid_orchestration: RunId | None = None
    x_lucid_provider: ProviderName | None = None

    @classmethod
    def of(cls, request: HttpRequest) -> "Attachment":
        headers = request.headers
        given = {name: told for name in ATTACHED if (told := headers.get(name))}
        try:
            return msgspec.convert(given, cls)
        except msgspec.ValidationError as error:
            name = str(error).rpartition("$.")[2].rstrip("`")
            complaint = str(error).partition(" - at")[0]
            raise invalid({name.title(): [complaint]}) from None


ATTACHED = [field.encode_name for field in msgspec.structs.fields(Attachment)]


class _RepeatedName(ValueError):
    pass


def read_members(raw: bytes) -> dict[str, Any]:
    """Return the members of a drop-in request, whose bytes go on as they are.

    A name that is there twice would be one thing to us and another to the provider.
    Raises the 400.
    """
    try:
        # As text: json would also read UTF-16, which then goes on to be cut up.
        body = json.loads(raw.decode(), object_pairs_hook=_distinct)
    except _RepeatedName as error:
        raise invalid({str(error): ["Given more than once."]}) from None
    except (ValueError, RecursionError) as error:
        raise invalid({"body": [f"Not JSON: {error}."]}) from None
    if not isinstance(body, dict):
        raise invalid({"body": ["Expected a JSON object."]})
    model = body.get("model")
    if not isinstance(model, str) or not NAME.fullmatch(model):
        raise invalid({"model": ["Expected 1-200 characters, none of them control."]})
    return body


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        repeated = next(n for n, _ in pairs if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        raise _RepeatedName(repeated)
    return members


def forwarded(request: HttpRequest) -> Headers:
    """Return the headers of a drop-in request that go on to the provider."""
    found = ((name, request.headers.get(name)) for name in FORWARDED)
    return [(name.encode(), value.encode("latin-1")) for name, value in found if value]


def request_to(
    account: Account,
    dialect: Dialect,
    model: str,
    body: bytes,
    headers: Headers = (),
    query: str = "",
) -> Request:
    """Return the request to a provider, with its credential; raises a 4xx or 502."""
    try:
        path = dialect.path(model)
    except BadParameter as error:
        raise invalid({error.name: [error.complaint]}) from None
    if account.url.endswith("/v1"):  # a custom host that speaks more than one dialect
        path = path.removeprefix("/v1")
    if not QUERY.fullmatch(query):
        raise invalid({"query": ["Expected it percent-encoded."]})
    url = account.url + path + (f"?{query}" if query else "")
    given = {name.lower() for name, _ in headers}
    shown = credential_headers(account.provider, account.credential, url, body)
    own = [(b"Content-Type", b"application/json"), *shown]
    if dialect is ANTHROPIC_MESSAGES and b"anthropic-version" not in given:
        own.append(ANTHROPIC_VERSION)
    return Request(url, [*own, *headers], body)


def credential_headers(provider: str, secret: str, url: str, body: bytes) -> Headers:
    """Return how a provider is shown a credential, which of bedrock signs the body."""
    if not secret:
        return []
    if provider == "anthropic":
        return [(b"x-api-key", secret.encode())]
    if provider == "bedrock" and ":" in secret:
        return sign(secret, url, body)
    return [(b"Authorization", f"Bearer {secret}".encode())]
