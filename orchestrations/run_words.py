"""Runs and calls in words: what became of them, how long they took, what was paid."""

from datetime import timedelta
from typing import NamedTuple

from orchestrations.models import CostSource, Orchestration, Outcome

Status = Orchestration.Status


class Verdict(NamedTuple):
    """Words, and the mark that stands before them (`verdict` in page.css)."""

    mark: str
    words: str


STATUSES: dict[str, Verdict] = {
    Status.RUNNING: Verdict("open", "Running"),
    Status.COMPLETED: Verdict("good", "Completed"),
    Status.FAILED: Verdict("bad", "Failed"),
    Status.TIMEOUT: Verdict("warn", "Timed out"),
    Status.CANCELLED: Verdict("off", "Cancelled"),
}
OUTCOMES: dict[str, Verdict] = {
    "": Verdict("off", "Not told"),  # nobody says of a reported call what became of it
    Outcome.COMPLETED: Verdict("good", "Completed"),
    Outcome.FAILED: Verdict("bad", "Failed"),
    Outcome.CUT: Verdict("warn", "Cut off"),
    Outcome.UNKNOWN: Verdict("warn", "Unknown"),
}
SOURCES: dict[str, str] = {
    CostSource.PROVIDER_REPORTED: "the provider's",
    CostSource.AGENT_REPORTED: "the agent's",
    CostSource.TENANT_PRICE: "your price",
    CostSource.CATALOGUE: "catalogue",
    CostSource.UNPRICED: "no price known",
    CostSource.NO_CHARGE: "not charged",
}


def duration(time: timedelta | None) -> str:
    """Write how long something took, with its two largest units."""
    if time is None:
        return "–"
    milliseconds = time // timedelta(milliseconds=1)
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.3g} s"
    return _in_two_units(milliseconds // 1000)


UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def _in_two_units(seconds: int) -> str:
    parts: list[str] = []
    for unit, size in UNITS:
        number, seconds = divmod(seconds, size)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
    return " ".join(part for part in parts[:2] if part)
