"""A run drawn: when its agents called and did something, and what it came to cost.

Geometry only, in units of the drawing; the template writes it as SVG.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from orchestrations.run_spans import LANES, Span
from orchestrations.run_words import duration

WIDTH = 1000
LEFT, RIGHT = 6, 8
LANE = 46  # a name above, calls below it, steps below these
NAME_AT, CALLS_AT, STEPS_AT = 12, 19, 35
CALL_HEIGHT, STEP_HEIGHT = 13, 6
LEAST = 2.5  # of a bar's width, that it can be seen
AXIS = 22
COSTS = 96
HEADROOM = 16
NAME_LENGTH = 60
# Above which a budget is beyond the drawing: the costs would lie flat on its floor.
FAR = 4


@dataclass(frozen=True)
class Bar:
    x: str
    y: int
    width: str
    height: int
    kind: str  # a class of runs.css
    title: str
    mark: str = ""  # points of a triangle above what failed


@dataclass(frozen=True)
class Lane:
    name: str
    y: int
    bars: list[Bar]

    @property
    def name_at(self) -> int:
        return self.y + NAME_AT


@dataclass(frozen=True)
class Tick:
    x: str
    anchor: str
    text: str


@dataclass(frozen=True)
class CostLine:
    """What the run had cost at each time, against its budget."""

    y: int
    floor: int
    path: str
    spent: Decimal
    label_y: str
    budget_y: str | None  # None: it has none, or one beyond the drawing
    budget: Decimal | None

    @property
    def is_far(self) -> bool:
        return self.budget is not None and self.budget_y is None


@dataclass(frozen=True)
class Timeline:
    lanes: list[Lane]
    ticks: list[Tick]
    cost: CostLine
    begin: datetime
    end: datetime
    spans: list[Span]

    width = WIDTH
    left, right = LEFT, WIDTH - RIGHT

    @property
    def axis_y(self) -> int:
        return LANE * len(self.lanes)

    @property
    def tick_y(self) -> int:
        return self.axis_y + 15

    @property
    def height(self) -> int:
        return self.cost.floor + 6

    @property
    def is_bucketed(self) -> bool:
        return any(span.count > 1 for span in self.spans)

    @property
    def takes(self) -> str:
        return duration(self.end - self.begin)


def draw(
    started_at: datetime,
    ended_at: datetime,
    spans: Sequence[Span],
    total: Decimal,
    budget: Decimal | None,
) -> Timeline:
    """Draw what has a place between the start and the end of a run.

    `total` is what the run cost in all; what no span accounts for came before them.
    """
    in_order = sorted(spans, key=lambda span: span.end)
    begin = min([started_at, *(span.begin for span in spans)])
    end = max([ended_at, *(span.end for span in spans)])
    scale = Scale(begin, end)
    lanes = list(_lanes(in_order, scale))
    costs = _cost_line(in_order, scale, LANE * len(lanes) + AXIS, total, budget)
    return Timeline(lanes, scale.ticks(), costs, begin, end, in_order)


@dataclass(frozen=True)
class Scale:
    begin: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return max(self.end - self.begin, timedelta(milliseconds=1))

    def x(self, moment: datetime) -> float:
        return LEFT + (moment - self.begin) / self.length * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[Tick]:
        places = [(0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle")]
        return [
            Tick(
                _number(self.x(self.begin + part * self.length)),
                anchor,
                duration(part * self.length) if part else "0",
            )
            for part, anchor in [*places, (1, "end")]
        ]


def _lanes(spans: Sequence[Span], scale: Scale) -> Iterable[Lane]:
    """Give each agent a lane, in the order they appear; the idlest share the last."""
    work = Counter[str]()
    for span in spans:
        if span.agent_id is not None:
            work[span.agent_id] += span.count
    busiest = work.most_common(LANES if len(work) <= LANES else LANES - 1)
    alone = {agent for agent, _ in busiest}
    members: dict[str | None, list[Span]] = {a: [] for a in work if a in alone}
    for span in spans:
        lane = span.agent_id if span.agent_id in alone else None
        members.setdefault(lane, []).append(span)
    for place, (agent, lane_spans) in enumerate(members.items()):
        y = place * LANE
        yield Lane(lane_name(agent), y, [_bar(s, scale, y) for s in lane_spans])


def lane_name(agent_id: str | None) -> str:
    if agent_id is None:
        return "other agents"
    if not agent_id:
        return "no agent named"
    if len(agent_id) <= NAME_LENGTH:
        return agent_id
    half = NAME_LENGTH // 2
    return f"{agent_id[:half]}…{agent_id[-half:]}"


def _bar(span: Span, scale: Scale, y: int) -> Bar:
    x, end = scale.x(span.begin), scale.x(span.end)
    width = max(end - x, LEAST)
    x = min(x, WIDTH - RIGHT - width)
    kind = "step" if span.is_step else "failed" if span.failed else "call"
    if span.count > 1:
        kind += " many"
    mark = ""
    if span.failed:  # a shape of its own, above where it ended
        tip, top = x + width, y + CALLS_AT
        mark = f"{tip - 5:.1f},{top - 7} {tip + 5:.1f},{top - 7} {tip:.1f},{top + 1}"
    return Bar(
        _number(x),
        y + (STEPS_AT if span.is_step else CALLS_AT),
        _number(width),
        STEP_HEIGHT if span.is_step else CALL_HEIGHT,
        kind,
        _title(span, scale),
        mark,
    )


def _title(span: Span, scale: Scale) -> str:
    at = duration(span.begin - scale.begin)
    failed = f", {span.failed:,} failed" if span.count > 1 and span.failed else ""
    return f"{span.what}{failed}: {duration(span.time)}, begun at {at}"


def _cost_line(
    spans: Sequence[Span],
    scale: Scale,
    y: int,
    total: Decimal,
    budget: Decimal | None,
) -> CostLine:
    """Draw a step up at each end of something that cost."""
    costs = [span.cost or Decimal(0) for span in spans]
    before = max(total - sum(costs), Decimal(0))
    sums = list(accumulate(costs, initial=before))
    near = budget is not None and budget <= max(sums[-1] * FAR, Decimal("1E-9"))
    top = max(sums[-1], budget if budget is not None and near else Decimal(0))
    floor = y + HEADROOM + COSTS

    def height(cost: Decimal) -> str:
        return _number(floor - float(cost / top if top else 0) * COSTS)

    path = [f"M{_number(scale.x(scale.begin))} {height(before)}"]
    for span, cost, sum_so_far in zip(spans, costs, sums[1:], strict=True):
        if cost:
            path.append(f"H{_number(scale.x(span.end))}V{height(sum_so_far)}")
    path.append(f"H{_number(scale.x(scale.end))}")
    return CostLine(
        y=y,
        floor=floor,
        path="".join(path),
        spent=sums[-1],
        label_y=height(sums[-1]),
        budget_y=height(budget) if budget is not None and near else None,
        budget=budget,
    )


def _number(value: float) -> str:
    return f"{value:.1f}"
