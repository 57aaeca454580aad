"""How much more or less something is than before, in words."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

ONE, TENTH = Decimal(1), Decimal("0.1")
MANY_TIMES = 10  # from here on percents say less than times do


def compared(now: Decimal | int, before: Decimal | int) -> str:
    """Return how `now` compares, to be followed by "than …" or "as …".

    "8 % less than", "12 times as much as"; "" where one of them is nothing.
    """
    if not now or not before:
        return ""
    ratio = Decimal(now) / before
    if ratio >= MANY_TIMES:
        return f"{ratio.quantize(ONE, ROUND_HALF_EVEN):,} times as much as"
    percent = 100 * abs(ratio - 1)
    if percent < Decimal("0.05"):
        return "as much as" if now == before else "almost as much as"
    direction = "more" if now > before else "less"
    return f"{_rounded(percent)} % {direction} than"


def _rounded(percent: Decimal) -> str:
    """Whole percents, with a decimal where they would be said to be 0 or 100."""
    is_near = percent < 1 or Decimal("99.5") <= percent < 100
    # Down: 99.96 % less is not all of it.
    places, rounding = (TENTH, ROUND_DOWN) if is_near else (ONE, ROUND_HALF_EVEN)
    return f"{max(percent.quantize(places, rounding), TENTH):,}"
