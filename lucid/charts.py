"""Charts as data: what templates/charts draw without scripts, and charts.js over it.

Each answers one question, which is its title. What is drawn begins at zero. Money is
in US cents, as everywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from itertools import groupby

Value = Decimal | int | None  # None is not known, which is not nothing

WIDTH = 1000  # of the drawing inside a chart, in units of its own; it stretches
HEIGHT = 100
ABOVE, PLOT = 5, 82  # the drawing's place in a chart, in percent of its height
LEFT, NAMES = 7, 20  # beside it, in percent of the width: numbers, names of lines
MOST_DAYS = 31  # that are drawn one by one: a page is to be small
COLOURS = 6  # in charts.css, besides the rest's
APART = 7  # between labels at the ends of lines, in percent of the height
SHOWN_OF_LABEL = 20  # characters, beside the end of a line


class Unit(StrEnum):
    MONEY = "money"
    COUNT = "count"


class Step(StrEnum):
    """What a point of a chart sums up."""

    DAY = "day"
    WEEK = "week"  # from Monday
    MONTH = "month"

    def start(self, day: date) -> date:
        if self == Step.WEEK:
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self == Step.MONTH else day

    def end(self, start: date) -> date:
        """Return the last day of what begins on `start`."""
        if self == Step.WEEK:
            return start + timedelta(days=6)
        if self == Step.MONTH:
            return (start + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return start


def step_for(first: date, last: date) -> Step:
    """Return the step that gives points enough to see by, and few enough to read."""
    days = (last - first).days + 1
    if days <= MOST_DAYS:
        return Step.DAY
    return Step.WEEK if days <= 366 else Step.MONTH


def starts_between(first: date, last: date, step: Step) -> list[date]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [start for start, _ in groupby(days, step.start)]


@dataclass(frozen=True)
class Series:
    label: str
    values: Sequence[Value]  # one for each start
    url: str = ""  # of the records behind it
    is_rest: bool = False  # all those that have no line of their own

    @property
    def total(self) -> Value:
        known = [value for value in self.values if value is not None]
        return sum(known[1:], known[0]) if known else None

    @property
    def plain_values(self) -> str:
        """The values for a script: between spaces, "-" where one is not known."""
        return " ".join("-" if v is None else _plain(v) for v in self.values)


def _plain(value: Decimal | int) -> str:
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True)
class Tick:
    value: Decimal | int
    place: str  # from above, in percent of the chart


@dataclass(frozen=True)
class Bar:
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Line:
    """A series as it is drawn."""

    series: Series
    number: int  # of its colour; 0 is the rest's
    points: list[str]  # of each stretch without gaps
    label: str
    label_place: str


@dataclass(frozen=True)
class Row:
    """A row of the table behind a chart."""

    start: date
    url: str
    values: list[Value]


@dataclass(frozen=True)
class TimeSeries:
    """One series is drawn as bars, several as lines."""

    question: str
    unit: Unit
    step: Step
    starts: Sequence[date]
    series: Sequence[Series]
    urls: Sequence[str] = ()  # of the records behind each start

    @property
    def is_money(self) -> bool:
        return self.unit == Unit.MONEY

    @property
    def is_drawn(self) -> bool:
        """Whether there is more to see than one number."""
        return len(self.starts) > 1 and bool(self._highest)

    @property
    def last_start(self) -> date:
        return self.starts[-1]

    @property
    def kind(self) -> str:
        return "bars" if len(self.series) == 1 else "lines"

    @property
    def rows(self) -> list[Row]:
        urls = self.urls or [""] * len(self.starts)
        columns = zip(*(series.values for series in self.series), strict=True)
        return [
            Row(start, url, list(values))
            for start, url, values in zip(self.starts, urls, columns, strict=True)
        ]

    @cached_property
    def _highest(self) -> Decimal:
        values = [value or 0 for series in self.series for value in series.values]
        return Decimal(max(values, default=0))

    @cached_property
    def top(self) -> Decimal:
        """A round number that nothing exceeds."""
        return round_up(self._highest)

    @property
    def peak(self) -> tuple[Series, date, Value] | None:
        """The highest value, for those who cannot see it."""
        for series in self.series:
            for start, value in zip(self.starts, series.values, strict=True):
                if value is not None and value == self._highest:
                    return series, start, value
        return None

    @property
    def ticks(self) -> list[Tick]:
        values: list[Decimal | int] = [self.top, self.top / 2, Decimal(0)]
        if not self.is_money:  # nobody has made half a call
            values = [int(value) for value in values if value == int(value)]
        return [Tick(value, f"{self._place(value):.2f}") for value in values]

    @property
    def right(self) -> int:
        """Where the drawing ends, in percent of the chart's width."""
        return 100 - NAMES if self.kind == "lines" else 100

    @property
    def width(self) -> int:
        return self.right - LEFT

    @property
    def bars(self) -> list[Bar]:
        (series,) = self.series
        return bars(series.values, self.top)

    @property
    def lines(self) -> list[Line]:
        """The lines, with labels at their ends that do not cover each other."""
        places = _apart([self._place(_last(s.values)) for s in self.series])
        return [
            Line(
                series,
                0 if series.is_rest else number,
                list(self._stretches(series)),
                _cut(series.label),
                f"{place:.2f}",
            )
            for number, (series, place) in enumerate(
                zip(self.series, places, strict=True), 1
            )
        ]

    def _place(self, value: Value) -> float:
        return ABOVE + PLOT * (1 - float((value or 0) / self.top))

    def _stretches(self, series: Series) -> Iterator[str]:
        numbered = enumerate(series.values)
        for known, points in groupby(numbered, lambda point: point[1] is not None):
            if known:
                yield " ".join(self._point(*point) for point in points)

    def _point(self, number: int, value: Value) -> str:
        x = WIDTH * (number + 0.5) / len(self.starts)
        y = HEIGHT * (1 - float((value or 0) / self.top))
        return f"{_short(x)},{_short(y)}"


def _short(place: float) -> str:
    """Write a place so that a thousand of them are a small part of a page."""
    return f"{place:.1f}".removesuffix(".0")


def _last(values: Sequence[Value]) -> Value:
    return next((value for value in reversed(values) if value is not None), None)


def _cut(label: str) -> str:
    if len(label) <= SHOWN_OF_LABEL:
        return label
    return f"{label[: SHOWN_OF_LABEL - 1]}…"


def _apart(places: list[float]) -> list[float]:
    """Move labels until none covers another, in their order: up, then back down."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    lowest = float(ABOVE + PLOT)
    for index in reversed(order):
        moved[index] = min(moved[index], lowest)
        lowest = moved[index] - APART
    highest = float(ABOVE)
    for index in order:
        moved[index] = max(moved[index], highest)
        highest = moved[index] + APART
    return moved


def round_up(value: Decimal) -> Decimal:
    """Return 1, 2, 3, 4, 5 or 8 times a power of ten that is at least `value`.

    Of each the half has two digits, as sums are shown with.
    """
    if value <= 0:
        return Decimal(1)
    unit = Decimal(1).scaleb(value.adjusted())
    digits = ("1", "2", "3", "4", "5", "8", "10")
    return next(top for d in digits if (top := Decimal(d) * unit) >= value)


def bars(values: Sequence[Value], top: Decimal) -> list[Bar]:
    slot = WIDTH / max(len(values), 1)
    gap = slot * 0.2
    return [
        Bar(
            _short(slot * number + gap / 2),
            _short(HEIGHT - height),
            _short(slot - gap),
            _short(height),
        )
        for number, value in enumerate(values)
        if value and (height := max(0.0, HEIGHT * float(value / top)))
    ]


@dataclass(frozen=True)
class Share:
    """A bar that is filled by a part of a whole."""

    title: str
    part: Value
    whole: Value
    is_over: bool = False  # which is not well

    @property
    def percent(self) -> str:
        if not self.part or not self.whole:
            return "0"
        exact = Decimal(100) * self.part / self.whole
        return str(max(Decimal(0), min(exact, Decimal(100))).quantize(Decimal("0.1")))
