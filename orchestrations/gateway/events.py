"""Server-sent events, split from the bytes of a stream as they come.

WHATWG HTML, section 9.2.6: lines end with LF, CRLF or CR, a blank line ends an event.
The bytes of an event stay as they are, so that what goes on is what came.
"""

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 16 * 2**20

# A CR in the last place may be half of a CRLF; it ends a line once more is here.
_LINE_END = re.compile(rb"\n|\r(?:\n|(?=[^\n]))")
_BLANK_LINE = re.compile(rb"\n\n|[\n\r]\r(?:\n|(?=[^\n]))")
# How much of a blank line may have been seen without knowing that it is one.
_UNDECIDED = 2

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event has more than MAX_EVENT_BYTES."""


class EventSplitter:
    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take a chunk in and yield the events it completes, blank lines included.

        What was fed so far is the events so far and `rest()`, one after another,
        whatever the chunks were. Takes time linear in the stream. Raises EventTooLarge
        after the events before it; then nothing more should be fed.
        """
        self._held += chunk
        start = 0
        try:
            while (end := self._end_of_event(start)) is not None:
                _check_size(end - start)
                yield bytes(self._held[start:end])
                start = self._searched = end
            _check_size(len(self._held) - start)
        finally:
            del self._held[:start]
            self._searched = max(0, len(self._held) - _UNDECIDED)

    def rest(self) -> bytes:
        return bytes(self._held)

    def _end_of_event(self, start: int) -> int | None:
        end = _LINE_END.match(self._held, start)  # a blank line and nothing before it
        end = end or _BLANK_LINE.search(self._held, self._searched)
        return end and end.end()


def data_of(event: bytes) -> bytes | None:
    """Return the data of an event, its lines joined by LF; None if it has none."""
    lines = event.removeprefix(_BYTE_ORDER_MARK).splitlines()
    data = [_value(line) for line in lines if line[:5] == b"data:" or line == b"data"]
    return b"\n".join(data) if data else None


def _value(line: bytes) -> bytes:
    return line[5:].removeprefix(b" ")


def _check_size(size: int) -> None:
    if size > MAX_EVENT_BYTES:
        raise EventTooLarge(f"An event has more than {MAX_EVENT_BYTES} bytes.")
