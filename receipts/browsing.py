"""Pages of receipts for people, quick however long the log is and whatever is asked.

Without bounds of time a list goes by place in the log, newest first. With them it
goes by the time that receipts claim, latest first: a claim may be years older than its
place, as backfills are.

Filters with an index are followed along it. Others are tried on a window of rows, and
where too few of them pass, the list says how far was looked.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, CharField, F, Func, QuerySet, Value

from lucid.api.pagination import (
    cut,
    decode_cursor,
    decode_pair,
    encode_cursor,
    encode_pair,
)
from receipts.models import Receipt
from receipts.receipt_filter import PageFilter

WINDOW = 20_000  # rows, tried in some 20 ms

# Claims with an index of their own, those of the fewest receipts first.
INDEXED = ("orchestration_id", "trace_id", "agent_id", "model_passport_id")

Place = tuple[int, ...]  # of a row: the values that its list is ordered by


@dataclass(frozen=True, slots=True)
class Found:
    """A page. `looked_to` is the leaf index of the last receipt that was looked at,
    where a window ended before the page was full; None where nothing was left out.
    """

    receipts: list[Receipt]
    next_cursor: str | None
    by_time: bool
    looked_to: int | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    columns: tuple[str, ...]

    def newest_first(self, rows: QuerySet[Receipt]) -> QuerySet[Receipt]:
        return rows.order_by(*(f"-{column}" for column in self.columns))

    # What the rows are compared with bounds their first value too: from that alone a
    # planner sees that a window is narrow, and does not look through the whole log.

    def after(self, rows: QuerySet[Receipt], place: Place) -> QuerySet[Receipt]:
        bound = {f"{self.columns[0]}__lte": place[0]}
        return rows.filter(self._compared("<", place), **bound)

    def down_to(self, rows: QuerySet[Receipt], place: Place) -> QuerySet[Receipt]:
        bound = {f"{self.columns[0]}__gte": place[0]}
        return rows.filter(self._compared(">=", place), **bound)

    def _compared(self, sign: str, place: Place) -> Func:
        """Compare as (a, b) < (1, 2) does: as no other condition, along an index."""
        return Func(
            _row(*map(F, self.columns)),
            _row(*map(Value, place)),
            template="%(expressions)s",
            arg_joiner=f" {sign} ",
            output_field=BooleanField(),
        )

    def place(self, receipt: Receipt) -> Place:
        return tuple(getattr(receipt, column) for column in self.columns)

    def encode(self, place: Place) -> str:
        return encode_pair(*place) if len(place) == 2 else encode_cursor(*place)

    def decode(self, cursor: str) -> Place:
        """Return a place; 400 for what is no cursor of this order."""
        if len(self.columns) == 2:
            return decode_pair(cursor)
        return (decode_cursor(cursor),)


def _row(*values: Any) -> Func:
    return Func(*values, template="(%(expressions)s)", output_field=BooleanField())


BY_PLACE = _Order(("leaf_index",))
BY_TIME = _Order(("timestamp", "leaf_index"))
# Of few rows, that another index finds. Where the planner believes them to be many it
# would walk along all times instead; of a sum it has no index.
BY_SORTED_TIME = _Order(("claimed", "leaf_index"))


def browse(query: PageFilter, tenant_id: UUID, mode: str) -> Found:
    """Return a page of what passes. Raises the 400 for a cursor of another list."""
    log = Receipt.objects.of_log(tenant_id, mode)
    claims, times, places = query.claims(), query.times(), query.places()
    name = next((name for name in INDEXED if name in claims), None)
    indexed = {name: claims[name]} if name else {}
    asked = claims | places
    if times and indexed and not _is_beyond_window(log.filter(**indexed)):
        rows = log.annotate(claimed=F("timestamp") + 0)
        bounds = {n.replace("timestamp", "claimed"): v for n, v in times.items()}
        return _found(BY_SORTED_TIME, rows.filter(**asked, **bounds), {}, query)
    # An index of a claim goes by place too.
    along = times or indexed | places
    rest = {name: value for name, value in asked.items() if name not in along}
    order = BY_TIME if times else BY_PLACE
    return _found(order, log.filter(**along), rest, query)


def _is_beyond_window(rows: QuerySet[Receipt]) -> bool:
    places = rows.order_by("-leaf_index").values_list("leaf_index", flat=True)
    return bool(places[WINDOW : WINDOW + 1])


def _found(
    order: _Order, rows: QuerySet[Receipt], rest: dict[str, Any], query: PageFilter
) -> Found:
    """Return a page of the rows that pass the `rest` too, tried on a window of them."""
    if query.cursor is not None:
        rows = order.after(rows, order.decode(query.cursor))
    rows = order.newest_first(rows)
    end = _end_of_window(order, rows) if rest else None
    if end:
        rows = order.down_to(rows, end)
    page, more = cut(_tried(rows, rest), query.limit)
    by_time = order is not BY_PLACE
    if more or not end:
        next_cursor = order.encode(order.place(page[-1])) if more else None
        return Found(page, next_cursor, by_time)
    return Found(page, order.encode(end), by_time, end[-1])


def _tried(rows: QuerySet[Receipt], claims: dict[str, Any]) -> QuerySet[Receipt]:
    """Return the rows that make the claims, by trying each row.

    An index of one of the claims would lead out of the window, to all that make it.
    """
    unindexed = {
        f"{name}_tried": Func(
            F(name), template="%(expressions)s || ''", output_field=CharField()
        )
        for name in claims
        if name in INDEXED
    }
    tried = {n if n not in INDEXED else f"{n}_tried": v for n, v in claims.items()}
    return rows.annotate(**unindexed).filter(**tried)


def _end_of_window(order: _Order, rows: QuerySet[Receipt]) -> Place | None:
    """Return the place of the last row to look at; None where that is the last."""
    places = list(rows.values_list(*order.columns)[WINDOW - 1 : WINDOW + 1])
    return places[0] if len(places) == 2 else None
