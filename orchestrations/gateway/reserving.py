"""The most that a call may cost, which is held back from budgets while it lasts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from orchestrations.money import MAX_CENTS, to_nanocents
from orchestrations.pricing import quote
from orchestrations.usage import Tokens

IMAGE_TOKENS = 20_000  # more than most providers count for one, however it is sent
MEDIA = frozenset({"image", "image_url", "input_audio", "document", "file"})
CACHE_MARK = b'"cache_control"'


def most_tokens(raw: bytes, body: dict[str, Any], output_limit: int | None) -> Tokens:
    """Return more tokens than a request can come to.

    No tokeniser makes more tokens than there are bytes. Where the request sets no
    limit to the answer, LUCID_ASSUMED_OUTPUT_TOKENS is all that can be said.
    """
    output = output_limit or settings.LUCID_ASSUMED_OUTPUT_TOKENS
    size = len(raw) + _for_media(body)
    if CACHE_MARK in raw:  # what is written to a cache costs most
        return Tokens(cache_write_1h_tokens=size, output_tokens=output)
    return Tokens(input_tokens=size, output_tokens=output)


def _for_media(value: Any) -> int:
    """Return what images, sound and files count instead of their bytes, less those."""
    match value:
        case {"type": str(kind), **members} if kind in MEDIA:
            return IMAGE_TOKENS - sum(map(_bytes_in, members.values()))
        case str() if len(value) > IMAGE_TOKENS and _is_data(value):
            return IMAGE_TOKENS - len(value)
        case dict():
            return sum(map(_for_media, value.values()))
        case list():
            return sum(map(_for_media, value))
    return 0


def _is_data(text: str) -> bool:
    """Say whether a text is base64, which has no spaces, or a URL of it."""
    return text.startswith("data:") or " " not in text[:1000]


def _bytes_in(value: Any) -> int:
    match value:
        case str():
            return len(value)
        case dict():
            return sum(map(_bytes_in, value.values()))
        case list():
            return sum(map(_bytes_in, value))
    return 0


def most_nanocents(
    tenant_id: UUID,
    version: int,
    provider: str,
    model: str,
    tokens: Tokens,
    at: datetime,
) -> int:
    """Return what such a call costs, 0 where the model has no price."""
    offer = quote(tenant_id, version, provider, model, tokens, at)
    if offer:
        return to_nanocents(offer.cents)
    # No call costs more than the books can hold: a limit like 2^53 is none.
    one = Tokens(input_tokens=1, output_tokens=1)
    priced = quote(tenant_id, version, provider, model, one, at)
    return to_nanocents(MAX_CENTS) if priced else 0
