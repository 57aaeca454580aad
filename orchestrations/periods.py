"""`from` and `to` of a query: dates, RFC 3339 times or Unix seconds, all in UTC."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.utils import timezone

from lucid.api.errors import invalid
from lucid.api.parsing import FromJSON
from orchestrations.costs import Period

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
UNIX = re.compile(r"[0-9]{1,12}")
# Leaves room for the period before.
EARLIEST = date(1970, 1, 1)
EXPECTED = "Expected a date (2026-11-22), an RFC 3339 time or Unix seconds from 1970 on"

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Moment(FromJSON):
    """A time, or a whole day where only a date was given."""

    JSON_SCHEMA = {
        "type": "string",
        "description": f"{EXPECTED.removeprefix('Expected ').capitalize()}, in UTC.",
    }

    def __init__(self, time: datetime, *, is_day: bool) -> None:
        # Not a dataclass: msgspec would read those itself.
        self.time = time
        self.is_day = is_day

    @classmethod
    def from_json(cls, value: Any) -> "Moment":
        try:
            moment = cls._read(str(value))
        except (ValueError, OverflowError):
            moment = None
        if moment is None or moment.day < EARLIEST:
            raise ValueError(EXPECTED)
        return moment

    @classmethod
    def _read(cls, text: str) -> "Moment | None":
        if DATE.fullmatch(text):
            return cls(_midnight(date.fromisoformat(text)), is_day=True)
        if RFC3339.fullmatch(text):
            moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
            return cls(moment, is_day=False)
        if UNIX.fullmatch(text):
            return cls(datetime.fromtimestamp(int(text), UTC), is_day=False)
        return None

    @property
    def day(self) -> date:
        return self.time.date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def days_between(
    since: Moment | None, until: Moment | None, *, default: int, at_most: int
) -> Period:
    """Return the UTC days from one to the other, `default` days where one is absent.

    Raises ApiError 400 for a wrong order, and for more days than `at_most`.
    """
    last = until.day if until else timezone.now().date()
    first = since.day if since else last - (default - 1) * DAY
    _check(first <= last, "This is after `to`.")
    _check(last - first < at_most * DAY, f"These are more than {at_most} days.")
    return Period(first, last)


def hours_between(
    since: Moment | None, until: Moment | None, *, default: int, at_most: int
) -> tuple[datetime, datetime]:
    """Return the beginnings of the first and of the last hour, as `days_between`."""
    last = _hour(until.time) if until else _hour(timezone.now())
    if until and until.is_day:
        last += 23 * HOUR
    first = _hour(since.time) if since else last - (default - 1) * HOUR
    _check(first <= last, "This is after `to`.")
    _check(last - first < at_most * HOUR, f"These are more than {at_most} hours.")
    return first, last


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _check(holds: bool, complaint: str) -> None:
    if not holds:
        raise invalid({"from": [complaint]})
