"""Filters of lists, as their addresses have them: what pages' forms have in common."""

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms

from tenants.forms import PlainForm


def day_field(label: str, help_text: str) -> forms.DateField:
    return forms.DateField(
        required=False,
        label=label,
        help_text=help_text,
        widget=forms.DateInput(attrs={"type": "date"}),
    )


class DaysForm(PlainForm):
    """`from` and `to`: UTC days, both included."""

    day_labels = ("From", "To")
    day_help = "A day, in UTC"
    earliest, latest = date.min, date.max

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        # `from` is a keyword.
        for name, label in zip(("from", "to"), self.day_labels, strict=True):
            self.fields[name] = day_field(label, self.day_help)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for name in ("from", "to"):
            day = cleaned.get(name)
            if day and not self.earliest <= day <= self.latest:
                years = f"{self.earliest.year} to {self.latest.year}"
                self.add_error(name, f"Expected a day from {years}.")
        self.refuse_backwards("from", "to", "This is after the last day.")
        return cleaned

    def refuse_backwards(self, first: str, last: str, complaint: str) -> None:
        """Refuse two bounds of which the first is after the last."""
        low, high = self.cleaned_data.get(first), self.cleaned_data.get(last)
        if low is not None and high is not None and low > high:
            self.add_error(first, complaint)

    @property
    def since(self) -> datetime | None:
        """The beginning of the first day."""
        return _at(self.cleaned_data["from"], time.min)

    @property
    def until(self) -> datetime | None:
        """The end of the last day."""
        return _at(self.cleaned_data["to"], time.max)


def _at(day: date | None, hour: time) -> datetime | None:
    return None if day is None else datetime.combine(day, hour, UTC)


def unix_time(moment: datetime | None) -> int | None:
    return (
        None
        if moment is None
        else max(int(moment.replace(microsecond=0).timestamp()), 0)
    )


class SaysWhatIsSet(PlainForm):
    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """The filters that are set: name, label and value."""
        return [
            (name, str(self[name].label), self.in_words(name, value))
            for name, value in self.cleaned_data.items()
            if value not in ("", None) and not self[name].is_hidden
        ]

    def in_words(self, name: str, value: Any) -> str:
        choices = dict(getattr(self.fields[name], "choices", ()))
        return str(choices.get(value, value))


def exactly(
    label: str, help_text: str = "", *, is_claimed: bool = False
) -> forms.CharField:
    """Return a filter by the whole of a text, in which claims may have spaces."""
    return forms.CharField(
        required=False,
        max_length=200,
        label=label,
        help_text=help_text,
        strip=not is_claimed,
    )
