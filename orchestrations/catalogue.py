"""List prices: the catalogue that the installed release of genai-prices carries.

Only standard rates of text. Not covered: batches and faster or slower service tiers,
of which a usage object does not tell; searches and other tools, which are charged by
the thousand; and models whose tokens of sound or images have rates of their own, or
that are charged by the hour or the character. Those models are unpriced here, as
their text rates would make them up to ten times too cheap; a tenant's own price goes
before in every case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, Provider, TieredPrices

VERSION = f"genai-prices {version('genai-prices')}"
# Ours to theirs. A custom host has no list price, whatever it calls its models.
PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "bedrock": "aws"}
MEMORY_LIMIT = 4096  # model names; some 5 MB

INPUT, OUTPUT = "input_mtok", "output_mtok"
CACHE_READ, CACHE_WRITE = "cache_read_mtok", "cache_write_mtok"
CACHE_WRITE_5M, CACHE_WRITE_1H = "cache_write_5m_mtok", "cache_write_1h_mtok"
UNDERSTOOD = {INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, CACHE_WRITE_5M, CACHE_WRITE_1H}


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens."""

    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal | None  # None: of a model that writes nothing, an embedding say


# Rates for inputs of more tokens than so many, the largest first.
Brackets = list[tuple[int, Rates]]
Period = tuple[Callable[[datetime], bool], Brackets]


def rates(provider: str, model: str, at: datetime, input_total: int) -> Rates | None:
    """Return the list price of a call at a time; None is unpriced.

    `input_total` counts cached tokens too: past a threshold, all tokens of a call
    cost more.
    """
    for holds, brackets in _periods(provider, model):
        if holds(at):
            return next((r for above, r in brackets if input_total > above), None)
    return None


def warm() -> None:
    """Load the catalogue, 0.2 to 0.9 s and 21 to 28 MB, before the first request.

    For `lucid.wsgi`, which each worker imports once. Not for AppConfig.ready, where
    every management command would pay.
    """
    rates("openai", "gpt-4o", datetime.now(UTC), 0)


# genai_prices.calc_price remembers names without bound, takes 190 us for one that it
# remembers, and asks whatever snapshot was put in place of the bundled one.
@lru_cache(MEMORY_LIMIT)
def _periods(provider: str, model: str) -> tuple[Period, ...]:
    """Return what a model costs and when; the first period that holds decides."""
    listed = _providers().get(PROVIDERS.get(provider, ""))
    # Without `all_providers`, no other provider's price stands in.
    found = listed.find_model(model) if listed else None
    if found is None:
        return ()
    if not isinstance(found.prices, list):
        return ((_always, _brackets(found.prices)),)
    dated = [
        (period.constraint.active if period.constraint else _always, period.prices)
        for period in reversed(found.prices)
    ]
    # The library falls back to the first when none holds.
    dated.append((_always, found.prices[0].prices))
    return tuple((holds, _brackets(prices)) for holds, prices in dated)


@cache
def _providers() -> "dict[str, Provider]":
    from genai_prices.data import providers  # what `warm` is about

    return {provider.id: provider for provider in providers}


def _always(at: datetime) -> bool:
    return True


def _brackets(prices: "ModelPrice") -> Brackets:
    listed = {
        key: price
        for key, price in vars(prices).items()
        if price is not None and key.endswith("_mtok")
    }
    if INPUT not in listed or not listed.keys() <= UNDERSTOOD:
        return []
    tiers = [tier.start for p in listed.values() for tier in getattr(p, "tiers", ())]
    return [
        (start, _rates({key: _price_above(start, p) for key, p in listed.items()}))
        for start in sorted({*tiers, -1}, reverse=True)
    ]


def _price_above(start: int, price: "Decimal | TieredPrices") -> Decimal:
    if isinstance(price, Decimal):
        return price
    reached = [tier.price for tier in price.tiers if tier.start <= start]
    return reached[-1] if reached else price.base


def _rates(prices: dict[str, Decimal]) -> Rates:
    """What has no rate of its own costs what contains it: a write, any input."""
    base = prices[INPUT]
    write = prices.get(CACHE_WRITE, base)
    return Rates(
        input=base,
        cache_read=prices.get(CACHE_READ, base),
        cache_write_5m=prices.get(CACHE_WRITE_5M, write),
        cache_write_1h=prices.get(CACHE_WRITE_1H, write),
        output=prices.get(OUTPUT),
    )
