"""A table as CSV (RFC 4180), streamed."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

# What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_answer(
    filename: str, head: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """Return a download. Text that would be a formula is preceded by an apostrophe."""
    answer = StreamingHttpResponse(lines(head, rows), content_type="text/csv")
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer


def lines(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield writer.writerow(head)
    for row in rows:
        yield writer.writerow([_harmless(value) for value in row])


def _harmless(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if is_formula else value


class _Echo:
    """A file that hands back what is written, which csv.writer then returns."""

    def write(self, text: str) -> str:
        return text
