"""The columns of the list of receipts: which there are, and what a row has in each."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict

from lucid.list_page import CURSOR, Column, without
from receipts.gist import TYPES, Gist, gist
from receipts.models import Receipt
from receipts.verdicts import members_of


@dataclass(frozen=True, slots=True)
class Row:
    receipt: Receipt
    gist: Gist


def rows_of(receipts: list[Receipt]) -> list[Row]:
    return [Row(item, gist(members_of(bytes(item.entry)))) for item in receipts]


@dataclass(frozen=True, slots=True)
class Shown:
    """A column with how its values are read, written and filtered by."""

    column: Column
    value: Callable[[Row], Any]
    kind: str = "text"  # or id, time, count, cost, type, status
    only: str = ""  # the filter that leaves rows of one value


def _cost(row: Row) -> Any:
    if row.gist.cost is None:
        return "" if row.gist.is_costless else "unpriced"
    return row.gist.cost


def _of(name: str, label: str, *, only: bool = True) -> Shown:
    """Return a column of a claim that most readers do without."""
    column = Column(name, label, is_usual=False)
    filter_name = name if only else ""
    return Shown(column, lambda row: getattr(row.receipt, name), "id", filter_name)


SHOWN = [
    Shown(Column("time", "Time claimed"), lambda row: row.receipt.timestamp, "time"),
    Shown(
        Column("type", "Type"),
        lambda row: row.receipt.receipt_type,
        "type",
        "receipt_type",
    ),
    Shown(Column("model", "Model"), lambda row: row.gist.model, "text", "model"),
    Shown(Column("agent", "Agent"), lambda row: row.receipt.agent_id, "id", "agent_id"),
    Shown(
        Column("tokens", "Tokens", is_number=True),
        lambda row: row.gist.tokens,
        "count",
    ),
    Shown(
        Column("tokens_in", "Tokens in", is_number=True, is_usual=False),
        lambda row: row.gist.tokens_in,
        "count",
    ),
    Shown(
        Column("tokens_out", "Tokens out", is_number=True, is_usual=False),
        lambda row: row.gist.tokens_out,
        "count",
    ),
    Shown(Column("cost", "Cost, US$", is_number=True), _cost, "cost"),
    Shown(Column("observed", "Observed"), lambda row: row.gist.observed),
    Shown(Column("status", "Status"), lambda row: row.gist.status, "status"),
    Shown(
        Column("run_id", "Run id", is_usual=False),
        lambda row: row.receipt.run_id,
        "id",
    ),
    Shown(
        Column("issued_at", "Signed", is_usual=False),
        lambda row: row.receipt.issued_at,
        "time",
    ),
    _of("provider", "Provider"),
    _of("orchestration_id", "Orchestration"),
    _of("trace_id", "Trace"),
    _of("model_passport_id", "Model passport"),
    _of("compute_passport_id", "Compute passport"),
    _of("runtime", "Runtime"),
    _of("policy_hash", "Policy hash"),
    _of("signer_kid", "Signing key"),
    Shown(
        Column("receipt_hash", "Receipt hash", is_usual=False),
        lambda row: bytes(row.receipt.receipt_hash).hex(),
        "id",
    ),
]
COLUMNS = [shown.column for shown in SHOWN]
# Ahead of the chosen columns of a CSV: which receipt a row is of.
ALWAYS = ["leaf_index", "receipt_id"]


class OnlyLinks:
    """Addresses of the same list with one filter more."""

    def __init__(self, query: QueryDict) -> None:
        self._query = query
        self._others: dict[str, str] = {}  # by the filter: the rest of the address

    def of(self, name: str, value: Any) -> str:
        if name not in self._others:
            rest = without(self._query, CURSOR, name)[1:]
            self._others[name] = f"?{rest}&" if rest else "?"
        return self._others[name] + urlencode({name: value})


@dataclass(frozen=True, slots=True)
class Cell:
    shown: Shown
    value: Any
    only_url: str  # the list of rows with this value alone
    kind: str  # none, link, or that of the column

    @property
    def type_name(self) -> str:
        return TYPES.get(self.value, str(self.value))


def cells(row: Row, shown: list[Shown], links: OnlyLinks) -> list[Cell]:
    return [_cell(row, item, links) for item in shown]


def _cell(row: Row, shown: Shown, links: OnlyLinks) -> Cell:
    value = shown.value(row)
    if value == "" or value is None:
        return Cell(shown, value, "", "none")
    if value == "unpriced":
        return Cell(shown, value, "", "text")
    if not shown.only:
        return Cell(shown, value, "", shown.kind)
    name = shown.only
    if name == "model" and value != row.receipt.model:
        name = "model_passport_id"
    return Cell(shown, value, links.of(name, value), "link")


def csv_head(shown: list[Shown]) -> list[str]:
    names = [
        "cost_cents" if item.kind == "cost" else item.column.name for item in shown
    ]
    return [*ALWAYS, *names]


def csv_row(row: Row, shown: list[Shown]) -> list[Any]:
    values = [_in_csv(item, item.value(row)) for item in shown]
    return [row.receipt.leaf_index, row.receipt.pk, *values]


def _in_csv(shown: Shown, value: Any) -> Any:
    if shown.kind == "time":
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if shown.kind == "cost" and value and value != "unpriced":
        return f"{value:f}"
    return value
