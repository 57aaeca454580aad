"""Tokens in disjoint buckets, read from the usage object that a provider answered.

The same word counts different things: the input of OpenAI and OpenTelemetry includes
what a cache held, that of Anthropic and Bedrock does not. What contradicts itself is
said to do so, and nothing is mended in silence.
"""

from dataclasses import dataclass, fields
from typing import Any

from receipts.canonical import MAX_INTEGER

Path = tuple[str, ...]

TTLS = ("5m", "1h")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Disjoint counts, but for `reasoning_tokens`, which are a part of the output."""

    input_tokens: int = 0  # neither read from a cache nor written to it
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def counts(self) -> dict[str, int]:
        return {
            "input_tokens": self.input_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_5m_tokens": self.cache_write_5m_tokens,
            "cache_write_1h_tokens": self.cache_write_1h_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }

    @property
    def cached(self) -> int:
        return (
            self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )

    @property
    def input_total(self) -> int:
        return self.input_tokens + self.cached

    @property
    def total(self) -> int:
        return self.input_total + self.output_tokens


TOKEN_COUNTS = tuple(item.name for item in fields(Tokens))


@dataclass(frozen=True, slots=True)
class Reading:
    tokens: Tokens | None  # None: nobody said anything
    contradictions: list[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a kind of usage object says what; it says nothing at an empty path."""

    input: Path
    output: Path
    includes_cache: bool  # in its input
    cache_read: Path
    cache_write: Path = ()
    cache_write_5m: Path = ()
    cache_write_1h: Path = ()
    reasoning: Path = ()
    total: Path = ()


OPENAI_CHAT = Shape(
    input=("prompt_tokens",),
    output=("completion_tokens",),
    includes_cache=True,
    cache_read=("prompt_tokens_details", "cached_tokens"),
    cache_write=("prompt_tokens_details", "cache_write_tokens"),
    reasoning=("completion_tokens_details", "reasoning_tokens"),
    total=("total_tokens",),
)
OPENAI_RESPONSES = Shape(
    input=("input_tokens",),
    output=("output_tokens",),
    includes_cache=True,
    cache_read=("input_tokens_details", "cached_tokens"),
    cache_write=("input_tokens_details", "cache_write_tokens"),
    reasoning=("output_tokens_details", "reasoning_tokens"),
    total=("total_tokens",),
)
ANTHROPIC = Shape(
    input=("input_tokens",),
    output=("output_tokens",),
    includes_cache=False,
    cache_read=("cache_read_input_tokens",),
    cache_write=("cache_creation_input_tokens",),
    cache_write_5m=("cache_creation", "ephemeral_5m_input_tokens"),
    cache_write_1h=("cache_creation", "ephemeral_1h_input_tokens"),
    reasoning=("output_tokens_details", "thinking_tokens"),
)
BEDROCK = Shape(
    input=("inputTokens",),
    output=("outputTokens",),
    includes_cache=False,
    cache_read=("cacheReadInputTokens",),
    cache_write=("cacheWriteInputTokens",),
    cache_write_5m=("cacheDetails", "5m"),
    cache_write_1h=("cacheDetails", "1h"),
    total=("totalTokens",),
)
OPENTELEMETRY = Shape(
    input=("gen_ai.usage.input_tokens",),
    output=("gen_ai.usage.output_tokens",),
    includes_cache=True,
    cache_read=("gen_ai.usage.cache_read.input_tokens",),
    cache_write=("gen_ai.usage.cache_creation.input_tokens",),
    reasoning=("gen_ai.usage.reasoning.output_tokens",),
)


def read_usage(
    provider: str,
    raw: dict[str, Any] | None,
    prompt_tokens: int | None,
    completion_tokens: int | None,
) -> Reading:
    """Return the tokens of a call, from its raw usage and what the caller claims.

    The raw object goes first, and the claims stand in for what it does not say. No
    object makes this raise; what it cannot mean is among the contradictions.
    """
    shape = _shape_of(raw or {}, provider)
    if raw is None or shape is None:
        return Reading(_claimed(prompt_tokens, completion_tokens), [])
    return _Reader(raw, shape).read(prompt_tokens, completion_tokens)


def _claimed(prompt: int | None, completion: int | None) -> Tokens | None:
    if prompt is None and completion is None:
        return None
    return Tokens(input_tokens=prompt or 0, output_tokens=completion or 0)


def _shape_of(raw: dict[str, Any], provider: str) -> Shape | None:
    for shape in (OPENAI_CHAT, BEDROCK, OPENTELEMETRY):
        if shape.input[0] in raw or shape.output[0] in raw:
            return shape
    if "input_tokens" not in raw and "output_tokens" not in raw:
        return None
    # Two speak of input_tokens. Without a word about caches they mean the same.
    openai = "input_tokens_details" in raw
    anthropic = not raw.keys().isdisjoint(
        {"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"}
    )
    if openai == anthropic:
        anthropic = provider in {"anthropic", "bedrock"}
    return ANTHROPIC if anthropic else OPENAI_RESPONSES


class _Reader:
    def __init__(self, raw: dict[str, Any], shape: Shape) -> None:
        self.raw = raw
        self.shape = shape
        self.contradictions: list[str] = []

    def read(self, prompt: int | None, completion: int | None) -> Reading:
        said_input = self._count(self.shape.input)
        said_output = self._count(self.shape.output)
        read = self._count(self.shape.cache_read)
        written = self._written()
        whole = prompt if said_input is None else said_input
        output = completion if said_output is None else said_output
        if {whole, output, read, written} == {None}:
            return Reading(None, self.contradictions)
        five_minutes, one_hour = written or (0, 0)
        cached = (read or 0) + five_minutes + one_hour
        tokens = Tokens(
            input_tokens=self._uncached(whole, cached),
            cache_read_tokens=read or 0,
            cache_write_5m_tokens=five_minutes,
            cache_write_1h_tokens=one_hour,
            output_tokens=output or 0,
            reasoning_tokens=self._reasoning(output or 0),
        )
        self._check_total(tokens, whole or 0)
        if said_input is not None:
            accepted = {said_input, tokens.input_tokens, tokens.input_total}
            self._check_claim("prompt_tokens", prompt, accepted)
        if said_output is not None:
            self._check_claim("completion_tokens", completion, {said_output})
        return Reading(tokens, self.contradictions)

    def _uncached(self, whole: int | None, cached: int) -> int:
        if whole is None or not self.shape.includes_cache:
            return whole or 0
        if cached > whole:
            self._contradict(f"{cached} cached tokens exceed the input of {whole}.")
        return max(0, whole - cached)

    def _written(self) -> tuple[int, int] | None:
        """Return what was written to a cache for five minutes and for an hour."""
        total = self._count(self.shape.cache_write)
        short = self._count(self.shape.cache_write_5m)
        long = self._count(self.shape.cache_write_1h)
        if {total, short, long} == {None}:
            return None
        parts = (short or 0) + (long or 0)
        told_both = short is not None and long is not None
        if total is not None and (parts > total or (told_both and parts < total)):
            self._contradict(
                f"Cache writes of {short} for 5 minutes and {long} for an hour"
                f" do not add up to {total}."
            )
        # Five minutes are what every provider writes for unless it says otherwise.
        return max(short or 0, (total or 0) - (long or 0)), long or 0

    def _reasoning(self, output: int) -> int:
        reasoning = self._count(self.shape.reasoning) or 0
        if reasoning > output:
            self._contradict(
                f"{reasoning} reasoning tokens exceed the output of {output}."
            )
        return min(reasoning, output)

    def _check_total(self, tokens: Tokens, whole: int) -> None:
        total = self._count(self.shape.total)
        # Bedrock's documentation leaves open whether its total includes the cache.
        if total not in {None, tokens.total, whole + tokens.output_tokens}:
            self._contradict(
                f"The total of {total} is not the sum of its parts, {tokens.total}."
            )

    def _check_claim(self, name: str, claim: int | None, accepted: set[int]) -> None:
        if claim is not None and claim not in accepted:
            told = " or ".join(map(str, sorted(accepted)))
            self._contradict(f"{name} is claimed as {claim}, and {told} in usage.")

    def _count(self, path: Path) -> int | None:
        """Return the count at a path; None is absent, and so is what is no count."""
        value: Any = self.raw if path else None
        for name in path:
            if value is None:
                return None
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and name in TTLS:
                value = _written_for(value, name)
            else:
                self._contradict(f"{path[0]} does not hold counts by name.")
                return None
        if _is_count(value):
            return int(value)
        if value is not None:
            self._contradict(f"{'.'.join(path)} is not a count of tokens.")
        return None

    def _contradict(self, sentence: str) -> None:
        if sentence not in self.contradictions:
            self.contradictions.append(sentence)


def _written_for(details: list[Any], ttl: str) -> Any:
    """Return the sum of Bedrock's cacheDetails of a lifetime; False if it is none."""
    counts = [
        detail.get("inputTokens")
        for detail in details
        if isinstance(detail, dict) and detail.get("ttl") == ttl
    ]
    if not counts:
        return None
    return sum(counts) if all(map(_is_count, counts)) else False


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER
