"""One cheap request to a provider, to see whether it is there and takes a credential.

It goes through the guard that calls go through.
"""

import json
import time
from contextlib import suppress
from dataclasses import dataclass

import httpcore2

from orchestrations.gateway.asking import ANTHROPIC_VERSION, credential_headers
from orchestrations.gateway.destinations import ForbiddenAddress, Guarded
from orchestrations.gateway.redacting import quotable
from orchestrations.gateway.upstream import tls
from orchestrations.models import Provider, ProviderCredential

MOST_SECONDS = 30  # to wait for a list of models, however long calls may take
MOST_BYTES = 10_000  # read of a refusal
LONGEST_MESSAGE = 300  # characters

TROUBLE = (
    ForbiddenAddress,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


class Unusable(Exception):
    """A sentence for the operator, which holds nothing of the credential."""


@dataclass(frozen=True, slots=True)
class Finding:
    text: str
    status: int | None = None
    milliseconds: int | None = None


def probe(row: ProviderCredential) -> Finding:
    """Ask a provider for its models. Raises Unusable."""
    if row.provider == Provider.BEDROCK:
        return Finding("Not tested: Bedrock offers no cheap request to test with.")
    status, milliseconds, body = _ask(row)
    told = f"HTTP {status} after {milliseconds} ms"
    if 200 <= status < 300:
        return Finding(f"Tested: {told}.", status, milliseconds)
    if status == 404 and row.provider == Provider.CUSTOM:
        # Not every server that speaks OpenAI's chat has a list of its models.
        text = f"Reached, but it lists no models ({told}): credential not tested."
        return Finding(text, status, milliseconds)
    message = _quotable(_message_of(body), row)
    raise Unusable(f"{told}: {message}" if message else f"{told}.")


def _quotable(message: str, row: ProviderCredential) -> str:
    return quotable(message, row.credential)[:LONGEST_MESSAGE]


def _ask(row: ProviderCredential) -> tuple[int, int, bytes]:
    """Return the status, milliseconds until it was there, and how the body begins."""
    path = "/v1/models" if row.provider == Provider.ANTHROPIC else "/models"
    url = row.url + path
    silence = min(row.silence_seconds, MOST_SECONDS)
    timeouts = {"connect": row.connect_seconds, "read": silence, "write": silence}
    started = time.monotonic()
    try:
        with (
            _pool(row) as pool,
            pool.stream(
                "GET",
                url,
                headers=list(_headers(row, url)),
                extensions={"timeout": timeouts},
            ) as response,
        ):
            milliseconds = round((time.monotonic() - started) * 1000)
            return response.status, milliseconds, _beginning(response, started)
    except TROUBLE as error:
        why = _quotable(str(error), row)
        raise Unusable(f"No answer from {row.url}: {why}") from None


def _pool(row: ProviderCredential) -> httpcore2.ConnectionPool:
    return httpcore2.ConnectionPool(
        network_backend=Guarded(frozenset(row.allowed_hosts)),
        ssl_context=tls(),
    )


def _headers(row: ProviderCredential, url: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"Accept", b"application/json"), (b"User-Agent", b"lucid")]
    if row.provider == Provider.ANTHROPIC:
        headers.append(ANTHROPIC_VERSION)
    return [*headers, *credential_headers(row.provider, row.credential, url, b"")]


def _beginning(response: httpcore2.Response, started: float) -> bytes:
    body = b""
    with suppress(*TROUBLE):  # the status says enough
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > MOST_BYTES or time.monotonic() > started + MOST_SECONDS:
                break
    return body[:MOST_BYTES]


def _message_of(body: bytes) -> str:
    text = body.decode(errors="replace")
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        return str(json.loads(text)["error"]["message"])
    return text
