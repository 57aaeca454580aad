"""What a call costs: the tenant's own prices first, then the catalogue's.

Each worker remembers tenants' prices; what it remembers is right for as long as the
tenant's `keyring_version` is the one it was read at, as with keyrings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from orchestrations import catalogue
from orchestrations.catalogue import Rates
from orchestrations.models import CostSource, Price
from orchestrations.money import MAX_CENTS, quantize
from orchestrations.usage import Tokens

MEMORY_LIMIT = 10_000  # tenants

CENTS = Decimal("0.0001")  # for one, at a dollar for a million
NOTHING = quantize(Decimal(0))


@dataclass(frozen=True, slots=True)
class Quote:
    cents: Decimal
    buckets: dict[str, Decimal]  # cents by the name of a rate; they add up to `cents`
    source: CostSource
    basis: str  # the price or the catalogue that it comes from


def quote(
    tenant_id: UUID,
    version: int,
    provider: str,
    model: str,
    tokens: Tokens,
    at: datetime,
) -> Quote | None:
    """Return what a call costs by our books; None is unpriced, which is not free.

    `version` is the keyring_version that the tenant was authenticated at. One price
    decides, the one that goes before the others: where it is a discount on a model
    that the catalogue does not list, the call is unpriced.
    """
    own = _prices_of(tenant_id, version).find(provider, model, at)
    rates = own.rates if own else None
    if rates is None:
        rates = catalogue.rates(provider, model, at, tokens.input_total)
    buckets = _cents(tokens, rates, own.factor if own else None) if rates else None
    if buckets is None:
        return None
    if own:
        return Quote(_sum(buckets), buckets, CostSource.TENANT_PRICE, own.basis)
    return Quote(_sum(buckets), buckets, CostSource.CATALOGUE, catalogue.VERSION)


def quote_served(
    tenant_id: UUID,
    version: int,
    provider: str,
    names: tuple[str, str],
    tokens: Tokens,
    at: datetime,
) -> Quote | None:
    """Return what a call costs whose model was asked for by one name, and served
    under another, "" where that is not known.

    What is charged is what was served, unless the tenant has a price of its own for
    what it asks for.
    """
    asked_name, served_name = names
    asked = quote(tenant_id, version, provider, asked_name, tokens, at)
    if not served_name or (asked and asked.source == CostSource.TENANT_PRICE):
        return asked
    return quote(tenant_id, version, provider, served_name, tokens, at) or asked


def _cents(
    tokens: Tokens, rates: Rates, factor: Decimal | None
) -> dict[str, Decimal] | None:
    """Return the cost of each bucket that is not empty; None where one has no rate.

    Or where all cost more than any call can: a count like 2^53 is a mistake, and its
    price would not fit the books.
    """
    unit = CENTS if factor is None else CENTS * factor
    buckets = {}
    try:
        for name, count, rate in (
            ("input", tokens.input_tokens, rates.input),
            ("cache_read", tokens.cache_read_tokens, rates.cache_read),
            ("cache_write_5m", tokens.cache_write_5m_tokens, rates.cache_write_5m),
            ("cache_write_1h", tokens.cache_write_1h_tokens, rates.cache_write_1h),
            ("output", tokens.output_tokens, rates.output),
        ):
            if count:
                if rate is None:
                    return None
                buckets[name] = quantize(count * rate * unit)
    except InvalidOperation:  # more digits than a Decimal is computed with
        return None
    return buckets if _sum(buckets) <= MAX_CENTS else None


def _sum(buckets: dict[str, Decimal]) -> Decimal:
    return sum(buckets.values(), NOTHING)


@dataclass(frozen=True, slots=True)
class _OwnPrice:
    valid_from: datetime
    valid_to: datetime | None
    rates: Rates | None  # None: the catalogue's
    factor: Decimal
    basis: str

    @classmethod
    def of(cls, price: Price) -> "_OwnPrice":
        basis = f"price {price.pk}"
        rates = _own_rates(price)
        return cls(price.valid_from, price.valid_to, rates, price.factor, basis)

    def holds(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


def _own_rates(price: Price) -> Rates | None:
    base = price.input_rate
    if base is None:
        return None

    def or_input(rate: Decimal | None) -> Decimal:
        return base if rate is None else rate

    return Rates(
        input=base,
        cache_read=or_input(price.cache_read_rate),
        cache_write_5m=or_input(price.cache_write_5m_rate),
        cache_write_1h=or_input(price.cache_write_1h_rate),
        output=price.output_rate,
    )


class _PriceList:
    """A tenant's prices in the order in which they are tried (`models.Price`)."""

    def __init__(self, version: int, prices: Iterable[Price]) -> None:
        self.version = version
        self._exact: dict[tuple[str, str], list[_OwnPrice]] = {}
        self._patterns: dict[str, list[tuple[str, _OwnPrice]]] = {}
        for price in prices:
            own = _OwnPrice.of(price)
            if price.is_pattern:
                beginning = price.model[:-1]
                self._patterns.setdefault(price.provider, []).append((beginning, own))
            else:
                self._exact.setdefault((price.provider, price.model), []).append(own)
        for patterns in self._patterns.values():
            patterns.sort(key=lambda pattern: -len(pattern[0]))

    def find(self, provider: str, model: str, at: datetime) -> _OwnPrice | None:
        for own in self._exact.get((provider, model), ()):
            if own.holds(at):
                return own
        for beginning, own in self._patterns.get(provider, ()):
            if model.startswith(beginning) and own.holds(at):
                return own
        return None


_memory: dict[UUID, _PriceList] = {}


def _prices_of(tenant_id: UUID, version: int) -> _PriceList:
    remembered = _memory.get(tenant_id)
    if remembered and remembered.version == version:
        return remembered
    # The version was known before the prices are read: should they change in
    # between, they are newer than it says, and are read once more.
    prices = Price.objects.filter(tenant_id=tenant_id).order_by("-valid_from", "-pk")
    listed = _PriceList(version, prices)
    if len(_memory) >= MEMORY_LIMIT:
        _memory.clear()
    _memory[tenant_id] = listed
    return listed
