"""Periods that people ask for, in UTC days, and how they are said."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from orchestrations.costs import Period

DAY = timedelta(days=1)


class Preset(StrEnum):
    TODAY = "today"
    WEEK = "7-days"
    THIRTY = "30-days"
    MONTH = "this-month"
    LAST_MONTH = "last-month"
    YEAR = "this-year"

    @property
    def label(self) -> str:
        return LABELS[self]

    def period(self, today: date) -> Period:
        """Return its days; those of a month or year that goes on end today."""
        match self:
            case Preset.TODAY:
                return Period(today, today)
            case Preset.WEEK:
                return Period(today - 6 * DAY, today)
            case Preset.THIRTY:
                return Period(today - 29 * DAY, today)
            case Preset.MONTH:
                return Period(today.replace(day=1), today)
            case Preset.LAST_MONTH:
                last = today.replace(day=1) - DAY
                return Period(last.replace(day=1), last)
            case Preset.YEAR:
                return Period(today.replace(month=1, day=1), today)


LABELS = {
    Preset.TODAY: "Today",
    Preset.WEEK: "7 days",
    Preset.THIRTY: "30 days",
    Preset.MONTH: "This month",
    Preset.LAST_MONTH: "Last month",
    Preset.YEAR: "This year",
}


@dataclass(frozen=True)
class Asked:
    """A period as it was asked for: by name, or by its days."""

    period: Period
    preset: Preset | None = None

    @property
    def words(self) -> str:
        """Complete the sentence "It cost so much …"."""
        first, last = self.period.first, self.period.last
        match self.preset:
            case Preset.TODAY:
                return "today"
            case Preset.WEEK | Preset.THIRTY:
                return f"in the last {self.length}"
            case Preset.MONTH:
                return f"in {last:%B %Y} so far"
            case Preset.LAST_MONTH:
                return f"in {last:%B %Y}"
            case Preset.YEAR:
                return f"in {last:%Y} so far"
        if first == last:
            return f"on {said(first)}"
        return f"from {said(first)} to {said(last)}"

    @property
    def length(self) -> str:
        days = self.period.length.days
        return "day" if days == 1 else f"{days:,} days"


def said(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
