import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.usage import Tokens, read_usage
from receipts.canonical import MAX_INTEGER

CHAT = {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 256},
}
CHAT_TOKENS = Tokens(86, 1920, 0, 0, 300, 256)
ANTHROPIC = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 12304,
    "cache_read_input_tokens": 900,
    "cache_creation": {
        "ephemeral_5m_input_tokens": 12000,
        "ephemeral_1h_input_tokens": 304,
    },
    "output_tokens": 550,
    "service_tier": "standard",
}
BEDROCK = {
    "inputTokens": 3,
    "outputTokens": 550,
    "totalTokens": 553,
    "cacheReadInputTokens": 900,
    "cacheWriteInputTokens": 12304,
    "cacheDetails": [
        {"ttl": "1h", "inputTokens": 304},
        {"ttl": "5m", "inputTokens": 12000},
    ],
}
CACHED_TOKENS = Tokens(3, 900, 12000, 304, 550)
RESPONSES = {
    "input_tokens": 2006,
    "input_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 80},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 256},
    "total_tokens": 2306,
}
OPENTELEMETRY = {
    "gen_ai.usage.input_tokens": 2006,
    "gen_ai.usage.cache_read.input_tokens": 1920,
    "gen_ai.usage.cache_creation.input_tokens": 80,
    "gen_ai.usage.output_tokens": 300,
}


def tokens_of(raw):
    tokens = read_usage("openai", raw, None, None).tokens
    assert tokens
    return tokens


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        (CHAT, CHAT_TOKENS),
        (RESPONSES, Tokens(6, 1920, 80, 0, 300, 256)),
        (ANTHROPIC, CACHED_TOKENS),
        (BEDROCK, CACHED_TOKENS),
        (BEDROCK | {"totalTokens": 13757}, CACHED_TOKENS),
        (OPENTELEMETRY, Tokens(6, 1920, 80, 0, 300)),
        ({"input_tokens": 7, "output_tokens": 2}, Tokens(7, output_tokens=2)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Tokens(8)),
        (ANTHROPIC | {"cache_creation": None}, Tokens(3, 900, 12304, 0, 550)),
        ({"output_tokens": 9, "cache_read_input_tokens": None}, Tokens(0, 0, 0, 0, 9)),
    ],
)
def test_each_shape_comes_apart_into_disjoint_buckets(raw, tokens):
    for provider in ("openai", "anthropic", "bedrock", "custom"):
        reading = read_usage(provider, raw, None, None)
        assert (reading.tokens, reading.contradictions) == (tokens, [])


def test_the_buckets_add_up_to_what_the_provider_counted():
    tokens = tokens_of(CHAT)
    assert (tokens.input_total, tokens.total) == (2006, 2306)


@pytest.mark.parametrize("raw", [None, {}, {"tokens": 5}, {"seconds": 2.5}])
def test_without_a_usage_it_knows_the_claims_count(raw):
    assert read_usage("custom", raw, 5, 7).tokens == Tokens(5, output_tokens=7)
    assert read_usage("custom", raw, None, 7).tokens == Tokens(output_tokens=7)
    assert read_usage("custom", raw, None, None).tokens is None


def test_a_claim_stands_in_for_what_the_usage_does_not_say():
    reading = read_usage("anthropic", {"output_tokens": 9}, 30, None)
    assert reading.tokens == Tokens(30, output_tokens=9)
    reading = read_usage("openai", {"prompt_tokens": 9, "total_tokens": 14}, None, 5)
    assert (reading.tokens, reading.contradictions) == (Tokens(9, output_tokens=5), [])


@pytest.mark.parametrize("raw", [CHAT, RESPONSES, ANTHROPIC, BEDROCK])
def test_a_claimed_input_may_count_the_cache_or_not(raw):
    tokens = tokens_of(raw)
    for claim in (tokens.input_tokens, tokens.input_total):
        reading = read_usage("openai", raw, claim, tokens.output_tokens)
        assert not reading.contradictions
    assert read_usage("openai", raw, tokens.input_total + 1, None).contradictions


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (CHAT | {"total_tokens": 2562}, "total of 2562 is not the sum"),
        (BEDROCK | {"totalTokens": 554}, "total of 554 is not the sum"),
        (CHAT | {"prompt_tokens": 1000, "total_tokens": 1300}, "exceed the input"),
        (CHAT | {"completion_tokens": 5, "total_tokens": 2011}, "exceed the output"),
        (ANTHROPIC | {"cache_creation_input_tokens": 12303}, "do not add up to 12303"),
        (ANTHROPIC | {"cache_creation_input_tokens": 99999}, "do not add up to 99999"),
        (ANTHROPIC | {"output_tokens": True}, "output_tokens is not a count"),
        (ANTHROPIC | {"output_tokens": -1}, "output_tokens is not a count"),
        (ANTHROPIC | {"output_tokens": 5.0}, "output_tokens is not a count"),
        (ANTHROPIC | {"output_tokens": "5"}, "output_tokens is not a count"),
        (ANTHROPIC | {"output_tokens": MAX_INTEGER + 1}, "output_tokens is not a cou"),
        (CHAT | {"prompt_tokens_details": [7]}, "prompt_tokens_details does not hold"),
        (
            BEDROCK | {"cacheDetails": [{"ttl": "5m", "inputTokens": None}]},
            "cacheDetails.5m is not a count",
        ),
    ],
)
def test_what_cannot_be_is_said(raw, told):
    (contradiction,) = read_usage("openai", raw, None, None).contradictions
    assert told in contradiction


def test_a_claim_that_the_usage_denies_is_said():
    reading = read_usage("openai", CHAT, 10, 20)
    assert reading.tokens == CHAT_TOKENS
    assert reading.contradictions == [
        "prompt_tokens is claimed as 10, and 86 or 2006 in usage.",
        "completion_tokens is claimed as 20, and 300 in usage.",
    ]


def test_more_cached_than_there_was_leaves_an_empty_bucket():
    tokens = tokens_of(CHAT | {"prompt_tokens": 1000, "total_tokens": 1300})
    assert (tokens.input_tokens, tokens.cache_read_tokens) == (0, 1920)


def test_what_is_no_count_counts_as_absent():
    reading = read_usage("openai", {"prompt_tokens": "9"}, None, None)
    assert reading.tokens is None
    assert reading.contradictions


NAMES = sorted({*CHAT, *RESPONSES, *ANTHROPIC, *BEDROCK, *OPENTELEMETRY})
DETAILS = ["cached_tokens", "cache_write_tokens", "reasoning_tokens", "thinking_tokens"]
DETAILS += ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"]
DETAILS += ["ttl", "inputTokens"]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 50)
    | st.integers()
    | st.floats()
    | st.sampled_from(["5m", "1h", "7"])
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(DETAILS) | st.text(max_size=3), inner)
    ),
    max_leaves=6,
)
counts = st.none() | st.integers(0, MAX_INTEGER)


@given(
    st.sampled_from(["openai", "anthropic", "bedrock", "custom"]),
    st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), json_values),
    counts,
    counts,
)
def test_no_object_makes_it_raise_or_a_bucket_negative(provider, raw, prompt, output):
    tokens = read_usage(provider, raw, prompt, output).tokens
    if tokens is not None:
        assert min(getattr(tokens, name) for name in tokens.__slots__) >= 0
        assert tokens.reasoning_tokens <= tokens.output_tokens
