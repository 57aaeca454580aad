import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from orchestrations import catalogue
from orchestrations.usage import Tokens

AT = datetime(2026, 11, 20, tzinfo=UTC)
THEIRS = {provider.id: provider for provider in providers}
BUCKETS = [
    Tokens(1000, 0, 0, 0, 500),
    Tokens(3, 0, 12_304, 0, 550),
    Tokens(1, 2_000, 30_000, 4_000, 5_000),
    Tokens(60_000, 40_000, 0, 0, 1),  # 100,000: the last of the lower rates
    Tokens(1, 272_000, 0, 0, 1),
    Tokens(500_000, 0, 0, 7, 0),
]


def every_model():
    for ours, theirs in catalogue.PROVIDERS.items():
        for model in THEIRS[theirs].models:
            yield pytest.param(ours, theirs, model, id=f"{ours}-{model.id}")


def moments(model):
    """Around each change of its price, and today."""
    yield AT
    for period in model.prices if isinstance(model.prices, list) else []:
        if period.constraint:
            day = datetime.combine(period.constraint.start_date, time(), tzinfo=UTC)
            yield from (day - timedelta(minutes=1), day)


def names(model):
    """A name that means this model and none before it in the list."""
    clauses = getattr(model.match, "or_", [model.match])
    for clause in clauses:
        for kind in ("equals", "starts_with", "ends_with", "contains"):
            if name := getattr(clause, kind, None):
                yield name


def cost(rates, tokens):
    return (
        tokens.input_tokens * rates.input
        + tokens.cache_read_tokens * rates.cache_read
        + tokens.cache_write_5m_tokens * rates.cache_write_5m
        + tokens.cache_write_1h_tokens * rates.cache_write_1h
        + tokens.output_tokens * (rates.output or 0)
    ) / 10**6


def their_cost(theirs, name, tokens, at):
    usage = Usage(
        input_tokens=tokens.input_total,
        cache_read_tokens=tokens.cache_read_tokens,
        cache_write_tokens=tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens,
        cache_write_5m_tokens=tokens.cache_write_5m_tokens,
        cache_write_1h_tokens=tokens.cache_write_1h_tokens,
        output_tokens=tokens.output_tokens,
    )
    return calc_price(
        usage, name, provider_id=theirs, genai_request_timestamp=at
    ).total_price


def rates_of(provider, model, at=AT, input_total=1):
    rates = catalogue.rates(provider, model, at, input_total)
    assert rates
    return rates


@pytest.mark.parametrize(("ours", "theirs", "model"), [*every_model()])
def test_every_model_costs_what_the_library_says_or_is_unpriced(ours, theirs, model):
    for name in names(model):
        for at in moments(model):
            for tokens in BUCKETS:
                rates = catalogue.rates(ours, name, at, tokens.input_total)
                if rates is not None:
                    told = their_cost(theirs, name, tokens, at)
                    assert cost(rates, tokens) == told


def test_nearly_every_model_of_text_is_priced():
    models = [case.values for case in every_model()]
    priced = [
        model.id
        for ours, _, model in models
        if any(catalogue.rates(ours, name, AT, 1) for name in names(model))
    ]
    assert len(priced) > 0.85 * len(models)


def test_a_cache_write_costs_what_it_should():
    tokens = Tokens(3, 0, 12_304, 0, 550)
    rates = rates_of("anthropic", "claude-sonnet-4-6", AT, tokens.input_total)
    assert cost(rates, tokens) == Decimal("0.054399")


def test_the_price_is_that_of_the_day():
    before = datetime(2025, 6, 9, 23, 59, tzinfo=UTC)
    after = datetime(2025, 6, 10, tzinfo=UTC)
    assert rates_of("openai", "o3", before).input == 10
    assert rates_of("openai", "o3", after).input == 2


def test_past_a_threshold_every_token_costs_more():
    (at, over) = (
        rates_of("anthropic", "claude-sonnet-4-5", AT, total)
        for total in (200_000, 200_001)
    )
    assert (at.input, at.output) == (3, 15)
    assert (over.input, over.output) == (6, Decimal("22.5"))


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("custom", "gpt-4o"),  # a host may call its model anything
        ("openai", "gpt-99"),
        ("openai", "claude-sonnet-4-6"),  # of another provider
        ("bedrock", "gpt-4o"),
        ("", "gpt-4o"),
        ("litellm", "openai/gpt-4o"),
        ("openai", ""),
        ("openai", "whisper-1"),  # by the hour
        ("openai", "tts-1"),  # by the character
        ("openai", "omni-moderation-latest"),  # free, says the catalogue by its silence
        ("openai", "gpt-realtime"),  # sound costs eight times what text does
        ("openai", "gpt-image-1"),
    ],
)
def test_what_the_catalogue_cannot_price_is_unpriced(provider, model):
    assert catalogue.rates(provider, model, AT, 1) is None


def test_an_embedding_has_no_price_of_output():
    assert rates_of("openai", "text-embedding-3-small").output is None


def test_it_says_which_catalogue_it_is():
    assert catalogue.VERSION.startswith("genai-prices 0.2.")


def test_nothing_is_loaded_before_it_is_asked():
    code = "import sys, orchestrations.catalogue; print('pydantic' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "False\n"
