"""A stream is read on its way, and goes on as it came."""

import json
import re
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrations.gateway import events
from orchestrations.gateway.dialects import (
    ANTHROPIC_MESSAGES,
    BEDROCK_CONVERSE,
    OPENAI,
    OPENAI_CHAT,
)
from orchestrations.gateway.events import EventSplitter
from orchestrations.gateway.telling import Unreadable
from tests.orchestrations.provider_streams import (
    ANTHROPIC_START,
    ANTHROPIC_USAGE,
    CHAT,
    CHAT_USAGE,
    ROLE,
    STOP,
    STREAMS,
    THINKING,
    USAGE_CHUNK,
    choice,
    chunk,
    counted,
    named,
    sse,
)

every_stream = pytest.mark.parametrize(
    ("dialect", "stream", "told", "text", "pieces"), STREAMS.values(), ids=STREAMS
)


def read(dialect, chunks, strip_usage=False):
    texts: list[str] = []
    reader = dialect.reader(strip_usage, texts.append)
    passed = [reader.feed(chunk) for chunk in chunks]
    return b"".join([*passed, reader.finish()]), reader, "".join(texts)


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


class TestStream:
    @every_stream
    def test_tells(self, dialect, stream, told, text, pieces):
        _, reader, texts = read(dialect, [stream])
        assert reader.told == told
        assert texts == text
        assert (reader.pieces, reader.malformed) == (pieces, 0)

    @every_stream
    def test_every_chunk_goes_on_at_once(self, dialect, stream, told, text, pieces):
        reader = dialect.reader()
        for start in range(0, len(stream), 7):
            assert reader.feed(stream[start : start + 7]) == stream[start : start + 7]
        assert reader.finish() == b""
        assert reader.told == told

    @every_stream
    @given(places=st.lists(st.integers(0, 100_000), max_size=10))
    def test_chunks_make_no_difference(
        self, dialect, stream, told, text, pieces, places
    ):
        plain, reader, texts = read(dialect, cut(stream, places))
        stripped, stripping, _ = read(dialect, cut(stream, places), strip_usage=True)
        assert plain == stream
        assert stripped == read(dialect, [stream], strip_usage=True)[0]
        assert reader.told == stripping.told == told
        assert texts == text
        assert reader.pieces == stripping.pieces == pieces

    @every_stream
    def test_told_is_current(self, dialect, stream, told, text, pieces):
        """It says after each byte what it would say if that were the last one."""
        reader = dialect.reader()
        for place in range(len(stream)):
            reader.feed(stream[place : place + 1])
            if stream[: place + 1].endswith((b"\n\n", b"\n\r\n")):
                assert reader.told == read(dialect, [stream[: place + 1]])[1].told
        assert reader.told.usage == told.usage

    @every_stream
    def test_no_cut_is_malformed(self, dialect, stream, told, text, pieces):
        for length in range(0, len(stream), 3):
            part, reader, texts = read(dialect, [stream[:length]])
            assert part == stream[:length]
            assert reader.malformed == 0
            assert reader.pieces <= pieces
            assert text.startswith(texts)

    @every_stream
    def test_before_its_last_events_it_has_not_ended(
        self, dialect, stream, told, text, pieces
    ):
        pieces = list(EventSplitter().feed(stream))
        for length in range(len(pieces) - 1):
            assert not read(dialect, pieces[:length])[1].told.ended

    def test_a_last_event_needs_no_blank_line(self):
        assert read(OPENAI, [CHAT[:-2]])[1].told == STREAMS["chat"][2]
        assert read(ANTHROPIC_MESSAGES, [THINKING[:-1]])[1].told.ended

    def test_every_piece_of_text_says_something(self):
        for dialect, stream, *_ in STREAMS.values():
            texts: list[str] = []
            dialect.reader(on_text=texts.append).feed(stream)
            assert "" not in texts

    def test_finishing_twice_is_finishing_once(self):
        reader = OPENAI.reader(strip_usage=True)
        assert reader.feed(b"data: {}") == b""
        assert reader.finish() == b"data: {}"
        assert reader.finish() == b""


class TestEnd:
    def told(self, *chunks, done=False):
        return read(OPENAI_CHAT, [sse(*chunks, done=done)])[1].told

    def test_done_is_the_end(self):
        assert self.told(STOP, done=True).ended
        assert self.told(done=True).ended

    def test_a_finish_alone_is_not(self):
        assert not self.told(STOP).ended
        assert not self.told(chunk(choice({}, "stop"), usage=counted(1))).ended

    def test_usage_after_the_finish_is(self):
        assert self.told(STOP, USAGE_CHUNK).ended
        assert self.told(STOP, {"usage": counted(1)}).ended

    def test_usage_before_the_finish_is_not(self):
        assert not self.told(USAGE_CHUNK, STOP).ended
        assert not self.told(USAGE_CHUNK).ended

    def test_nor_is_usage_while_another_choice_goes_on(self):
        """llama.cpp tells the usage of each choice when that one ends."""
        both = chunk(ROLE, choice({"content": "a"}, index=1))
        first = chunk(choice({}, "length", index=1))
        assert not self.told(both, first, USAGE_CHUNK).ended
        assert self.told(both, first, USAGE_CHUNK, STOP, USAGE_CHUNK).ended


class TestErrorsInStreams:
    def test_openrouter(self):
        error = {"code": 502, "message": "Provider disconnected"}
        failing = chunk(choice({"content": ""}, "error"), error=error)
        told = read(OPENAI_CHAT, [sse(chunk(ROLE), failing, done=False)])[1].told
        assert told.error == "Provider disconnected"
        assert told.finish_reason == "error"
        assert not told.ended

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            ({"message": "No."}, "No."),
            ("No.", "No."),
            ({"code": 5}, '{"code": 5}'),
            ({"message": ""}, '{"message": ""}'),
            ({"message": None}, '{"message": null}'),
            (["No."], '["No."]'),
            ({"message": "é" * 501}, "é" * 500),
            ({}, None),
            (None, None),
        ],
    )
    def test_whatever_an_error_is(self, error, message):
        assert read(OPENAI, [sse({"error": error})])[1].told.error == message

    def test_the_first_one_counts(self):
        stream = sse({"error": "first"}, {"error": "second"})
        assert read(OPENAI, [stream])[1].told.error == "first"

    @pytest.mark.parametrize("kind", [{"type": "error"}, {}])
    def test_anthropic(self, kind):
        error = {"type": "overloaded_error", "message": "Overloaded"}
        stream = (
            named(ANTHROPIC_START) + b"event: error\n" + sse({**kind, "error": error})
        )
        reader = read(ANTHROPIC_MESSAGES, [stream])[1]
        assert reader.told.error == "Overloaded"
        assert not reader.told.ended
        assert reader.told.usage == ANTHROPIC_USAGE


class TestOddShapes:
    @pytest.mark.parametrize("index", [None, "0", [], {}, 0.5])
    def test_a_choice_without_a_number_is_the_first(self, index):
        odd = {"index": index, "delta": {"content": "Yes"}, "finish_reason": "stop"}
        _, reader, texts = read(OPENAI_CHAT, [sse(chunk(odd))])
        assert (texts, reader.told.finish_reason) == ("Yes", "stop")

    @pytest.mark.parametrize("usage", [None, {}, [], "none", 5])
    def test_what_is_no_usage_takes_nothing_away(self, usage):
        stream = sse(USAGE_CHUNK, chunk(usage=usage))
        assert read(OPENAI, [stream])[1].told.usage == CHAT_USAGE
        stream = named(ANTHROPIC_START, {"type": "message_delta", "usage": usage})
        assert read(ANTHROPIC_MESSAGES, [stream])[1].told.usage == ANTHROPIC_USAGE


class TestStripping:
    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    def test_all_else_stays(self, end):
        dropped = sse(USAGE_CHUNK, done=False)
        wanted = CHAT.replace(dropped, b"").replace(b"\n", end)
        assert wanted.count(b"data:") == 5
        out, reader, _ = read(OPENAI, [CHAT.replace(b"\n", end)], strip_usage=True)
        assert out == wanted
        assert reader.told == STREAMS["chat"][2]

    @pytest.mark.parametrize("name", ["cumulative", "openrouter", "moderated"])
    def test_usage_beside_anything_else_stays(self, name):
        dialect, stream, told, *_ = STREAMS[name]
        out, reader, _ = read(dialect, [stream], strip_usage=True)
        assert out == stream
        assert reader.told == told

    @pytest.mark.parametrize("choices", [{}, {"choices": None}, {"choices": []}])
    def test_usage_goes_where_choices_are_missing_too(self, choices):
        """Clients loop over the choices of all chunks that they asked for."""
        stream = sse(STOP, {**choices, "usage": counted(1)})
        assert read(OPENAI_CHAT, [stream], strip_usage=True)[0] == sse(STOP)

    def test_a_failure_stays(self):
        stream = sse(chunk(usage=CHAT_USAGE, error={"message": "No."}))
        assert read(OPENAI, [stream], strip_usage=True)[0] == stream

    def test_chunks_without_choices_and_usage_stay(self):
        stream = sse(chunk(), chunk(usage=None), {"choices": []})
        assert read(OPENAI, [stream], strip_usage=True)[0] == stream

    def test_anthropic_keeps_all(self):
        assert read(ANTHROPIC_MESSAGES, [THINKING], strip_usage=True)[0] == THINKING

    def test_a_last_chunk_without_blank_line_goes_too(self):
        stream = sse(STOP, USAGE_CHUNK, done=False)
        out, _, _ = read(OPENAI, [stream[:-2]], strip_usage=True)
        assert out == sse(STOP, done=False)

    def test_an_event_is_passed_on_when_it_is_complete(self):
        reader = OPENAI.reader(strip_usage=True)
        assert reader.feed(b'data: {"choices": ') == b""
        assert reader.feed(b"[]}\n\nda") == b'data: {"choices": []}\n\n'
        assert reader.finish() == b"da"


class TestWhatCannotBeRead:
    @pytest.mark.parametrize("strip_usage", [False, True])
    @pytest.mark.parametrize(
        "event",
        [
            b"data: {\n\n",
            b"data: [1]\n\n",
            b'data: "text"\n\n',
            b'data: {"choices": [}\n\n',
            b"data: {" + b'"a":{' * 100_000 + b"\n\n",
            b'data: {"usage":' + b"[" * 100_000 + b"\n\n",
            b'data: {"usage": {"a": 1e999}}\n\n',
            b"data: \xff\xfe\n\n",
        ],
        ids=range(8),
    )
    @pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC_MESSAGES])
    def test_it_passes_and_is_counted(self, dialect, event, strip_usage):
        stream = CHAT if dialect is OPENAI else THINKING
        out, reader, _ = read(dialect, [event, stream], strip_usage)
        assert out == event + read(dialect, [stream], strip_usage)[0]
        assert reader.malformed == 1
        assert reader.told.usage is not None
        assert reader.told.ended

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}', "a?"),
            (b'{"choices":[{"delta":{"content":"a\xf0\x9f"}}]}', "a\ufffd"),
            (b'{"choices":[{"delta":{"content":"a"},"logprob":-Infinity}]}', "a"),
            (b'{"choices":[{"delta":{"content":"a"},"logprob":NaN}]}', "a"),
        ],
        ids=["half a pair", "half a character", "infinity", "no number"],
    )
    def test_what_some_servers_write_is_mended(self, data, text):
        out, reader, texts = read(OPENAI_CHAT, [b"data: " + data + b"\n\n"])
        assert out == b"data: " + data + b"\n\n"
        assert texts == text
        assert texts.encode()
        assert (reader.pieces, reader.malformed) == (1, 0)

    @pytest.mark.parametrize("strip_usage", [False, True])
    @pytest.mark.parametrize("size", [10, 33, 4096])
    def test_after_too_large_an_event_it_only_relays(
        self, monkeypatch, strip_usage, size
    ):
        monkeypatch.setattr(events, "MAX_EVENT_BYTES", 600)
        before = sse(chunk(choice({"content": "Hi"})), USAGE_CHUNK, done=False)
        after = sse(chunk(choice({"content": "x" * 700})), USAGE_CHUNK)
        stream = before + after
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        out, reader, texts = read(OPENAI, chunks, strip_usage)
        assert out == read(OPENAI, [before], strip_usage)[0] + after
        assert (texts, reader.told.usage) == ("Hi", CHAT_USAGE)
        assert not reader.told.ended


kinds = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NAMES = """
    id model choices usage error message delta content text type index tool_calls
    finish_reason stop_reason stopReason output content_block moderation
"""
TYPES = """
    message_start message_delta content_block_start content_block_delta error
"""
names = st.sampled_from(re.findall(r"\w+", NAMES))
types = st.sampled_from(re.findall(r"\w+", TYPES))
values = st.recursive(
    kinds, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=12
)


class TestAnythingAtAll:
    """No answer makes reading fail otherwise than it says."""

    @given(st.dictionaries(names, values), types)
    def test_objects(self, value, kind):
        for body in (value, {**value, "type": kind}):
            data = json.dumps(body).encode()
            for streaming in (OPENAI, ANTHROPIC_MESSAGES):
                assert read(streaming, [sse(body)])[0] == sse(body)
                read(streaming, [sse(body)], strip_usage=True)
            for dialect in (OPENAI, ANTHROPIC_MESSAGES, BEDROCK_CONVERSE):
                told = dialect.read_body(data)
                assert isinstance(told.text, str)
                assert told.usage is None or type(told.usage) is dict

    @given(st.lists(st.binary(max_size=30)), st.booleans())
    def test_bytes(self, chunks, strip_usage):
        for dialect in (OPENAI, ANTHROPIC_MESSAGES):
            assert read(dialect, chunks, strip_usage)[0] == b"".join(chunks)

    @pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC_MESSAGES, BEDROCK_CONVERSE])
    @given(data=st.binary(max_size=30))
    def test_bodies(self, dialect, data):
        with suppress(Unreadable):
            assert dialect.read_body(data).ended
