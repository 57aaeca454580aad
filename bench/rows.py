"""A row of the table, and how much is measured for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How often, and for how many seconds each, loads are compared."""

    rounds: int
    seconds: int
    requests: int = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    goal: str
    measured: str
    met: bool | None = None  # None: for information
