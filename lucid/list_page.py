"""What pages with a list have in common: filters to take away, columns to choose."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.http import QueryDict

# In an address, and no filters.
CURSOR = "cursor"
COLUMNS = "columns"


class Chip(NamedTuple):
    """A filter that is set, with the address of the list without it."""

    label: str
    value: str
    url: str


def chips(query: QueryDict, given: Iterable[tuple[str, str, str]]) -> list[Chip]:
    """Return a chip for each name, label and value of a filter."""
    return [
        Chip(label, value, without(query, name, CURSOR)) for name, label, value in given
    ]


def without(query: QueryDict, *names: str) -> str:
    others = query.copy()
    for name in names:
        others.pop(name, None)
    return f"?{others.urlencode()}"


class Column(NamedTuple):
    name: str
    label: str
    is_number: bool = False
    is_usual: bool = True  # shown until the reader chooses


class Choice(NamedTuple):
    column: Column
    is_shown: bool


def choices(query: QueryDict, columns: Sequence[Column]) -> list[Choice]:
    """Say of each column whether to show it: as `?columns=a&columns=b` asks.

    Names of no column are ignored; where nothing is left the usual ones are shown.
    """
    asked = set(query.getlist(COLUMNS)) & {column.name for column in columns}
    return [
        Choice(column, column.name in asked if asked else column.is_usual)
        for column in columns
    ]
