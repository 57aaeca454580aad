import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrations.gateway import events
from orchestrations.gateway.events import EventSplitter, EventTooLarge, data_of

STREAMS = {
    "LF": [b"data: a\n\n", b"event: x\ndata: b\n\n", b"data: [DONE]\n\n"],
    "CRLF": [b"data: a\r\n\r\n", b": ping\r\n\r\n", b"data: b\r\ndata: c\r\n\r\n"],
    "mixed": [b"data: a\r\n\n", b"data: b\n\r\n", b"data: c\r\r\n", b"data: d\n\n"],
    "CR": [b"data: a\r\r", b"data: b\rdata: c\r\r", b"data: d\n\n"],
    "blank lines": [b"\n", b"\r\n", b"data: a\n\n", b"\n", b"\n", b": x\n\n"],
    "UTF-8": ["data: é\u2028\x85\v\f\x1c\n\n".encode(), b"data: \xff\x00\n\n"],
}
streams = pytest.mark.parametrize("wanted", STREAMS.values(), ids=STREAMS)

# What matters to the splitter, and little else.
texts = st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b":", b"\xc3\xa9"]), max_size=20
).map(b"".join)


def split(chunks):
    splitter = EventSplitter()
    found = [event for chunk in chunks for event in splitter.feed(chunk)]
    return found, splitter.rest()


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def read_by_lines(data):
    """Say the same in another way: by lines, of all the bytes at once."""
    # Nobody knows yet what a last CR is.
    body, half = (data[:-1], data[-1:]) if data.endswith(b"\r") else (data, b"")
    found, event = [], b""
    for line in re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", body):
        event += line
        if line in {b"\n", b"\r", b"\r\n"}:
            found.append(event)
            event = b""
    return found, event + half


@streams
def test_it_splits_after_every_blank_line(wanted):
    assert split([b"".join(wanted)]) == (wanted, b"")


@streams
def test_two_chunks_are_as_good_as_one(wanted):
    data = b"".join(wanted)
    for place in range(len(data) + 1):
        assert split([data[:place], data[place:]]) == (wanted, b"")


@streams
def test_bytes_one_by_one_are_as_good_as_one_chunk(wanted):
    assert split([bytes([byte]) for byte in b"".join(wanted)]) == (wanted, b"")


@streams
def test_an_event_is_there_as_soon_as_its_end_is_known(wanted):
    splitter = EventSplitter()
    for event in wanted:
        found = list(splitter.feed(event))
        if event.endswith(b"\n"):
            assert found[-1] == event
            assert splitter.rest() == b""


def test_half_an_event_is_kept():
    assert split([b"data: a\n\nda", b"ta: b\n"]) == ([b"data: a\n\n"], b"data: b\n")


def test_a_last_cr_may_be_half_of_a_line_end():
    splitter = EventSplitter()
    assert list(splitter.feed(b"data: a\r\n\r")) == []
    assert splitter.rest() == b"data: a\r\n\r"
    assert list(splitter.feed(b"\ndata")) == [b"data: a\r\n\r\n"]


@given(texts, st.lists(st.integers(0, 1000), max_size=8))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [9, 10, 11])
@example(b"\r\r\n\r", [1, 2, 3])
def test_chunks_make_no_difference(data, places):
    found, rest = split(cut(data, places))
    assert b"".join(found) + rest == data
    assert (found, rest) == read_by_lines(data)


@given(st.binary(max_size=200), st.lists(st.integers(0, 1000), max_size=8))
def test_no_byte_is_lost(data, places):
    found, rest = split(cut(data, places))
    assert b"".join(found) + rest == data


class TestSizes:
    def test_the_largest_event(self):
        event = b"data: " + b"x" * (events.MAX_EVENT_BYTES - 8) + b"\n\n"
        assert split([event, b"data: a\n\n"]) == ([event, b"data: a\n\n"], b"")

    @pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b""])
    def test_a_larger_one_is_refused_whole_or_not(self, end):
        splitter = EventSplitter()
        with pytest.raises(EventTooLarge, match="16777216"):
            list(splitter.feed(b"x" * (events.MAX_EVENT_BYTES + 1 - len(end)) + end))
        assert len(splitter.rest()) == events.MAX_EVENT_BYTES + 1

    @pytest.mark.parametrize("size", [1, 7, 50, 1000])
    def test_what_came_before_it_is_had_in_any_chunks(self, monkeypatch, size):
        monkeypatch.setattr(events, "MAX_EVENT_BYTES", 30)
        good = [b"data: a\n\n", b"data: b\n\n"]
        data = b"".join(good) + b"x" * 40 + b"\n\n" + b"data: c\n\n"
        chunks = iter([data[at : at + size] for at in range(0, len(data), size)])
        splitter = EventSplitter()
        found: list[bytes] = []
        with pytest.raises(EventTooLarge):
            found.extend(event for chunk in chunks for event in splitter.feed(chunk))
        assert found == good
        assert b"".join([*found, splitter.rest(), *chunks]) == data

    @pytest.mark.parametrize("filling", [b"x", b"x\r\n", b"data: a\n"])
    def test_a_large_one_in_small_chunks_takes_linear_time(self, filling):
        # 0.05 s; a second look at what was held would make it minutes.
        data = filling * (2**19 // len(filling))
        started = time.perf_counter()
        found, rest = split(data[at : at + 64] for at in range(0, len(data), 64))
        assert time.perf_counter() - started < 10
        assert (found, rest) == ([], data)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a\n\n", b"a"),
        (b"data:a\r\n\r\n", b"a"),
        (b"data:  a \r\r", b" a "),
        (b"event: x\nid: 1\ndata: a\nretry: 5\n\n", b"a"),
        (b"data: a\ndata: b\r\ndata:\rdata\n\n", b"a\nb\n\n"),
        (b'data: {"a": "data: b"}\n', b'{"a": "data: b"}'),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        ("data: é\u2028\x85\v\f\x1c\n\n".encode(), "é\u2028\x85\v\f\x1c".encode()),
        (b"data:\n\n", b""),
        (b": OPENROUTER PROCESSING\n\n", None),
        (b"event: ping\n\n", None),
        (b"database: a\n data: b\nDATA: c\n\n", None),
        (b"\r\n", None),
        (b"", None),
    ],
)
def test_the_data_of_an_event(event, data):
    assert data_of(event) == data
