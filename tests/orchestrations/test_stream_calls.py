"""The drop-in endpoints, streamed: what the client gets, and what is recorded."""

import json
import threading

import pytest

from receipts.verifier import Verdict
from tests.orchestrations.calling import (
    MESSAGES_PATH,
    attempts,
    chat,
    chat_stream,
    read_until_cut,
    receipt_behind,
    receipts_of,
    refusal,
    salted,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    MODEL,
    QUESTION,
    SECRET,
    USAGE,
    Scripted,
    chunk,
    event,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import get, start
from tests.receipts.auditor import audit, log_size

TEXTS = ("It ", "is ", "covered.")
ASKED_FOR = {"stream_options": {"include_usage": True}}
MESSAGE_STREAM = [
    event(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "model": "tiny-1-2026",
                "usage": {
                    "input_tokens": 5,
                    "cache_read_input_tokens": 90,
                    "output_tokens": 1,
                },
            },
        },
        "message_start",
    ),
    event({"type": "ping"}, "ping"),
    *(
        event(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            },
            "content_block_delta",
        )
        for text in TEXTS
    ),
    event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9},
        },
        "message_delta",
    ),
    event({"type": "message_stop"}, "message_stop"),
]


@pytest.fixture
def account(acme, provider, worker):
    return open_account(acme, provider)


def leave_after(answer, count):
    """Read a few pieces and hang up, as a server sees it."""
    pieces = [next(answer.streaming_content) for _ in range(count)]
    answer.close()
    return b"".join(pieces)


class TestTheBytes:
    def test_they_are_as_they_came(self, alice, account, provider):
        pieces = [b": comment\r\n\r\n", *stream(*TEXTS), b"data: x\n\ntail"]
        provider.answers(streamed(pieces))
        answer = chat_stream(alice, **ASKED_FOR)
        assert answer["Content-Type"] == "text/event-stream; charset=utf-8"
        assert whole(answer) == b"".join(pieces)
        asked = QUESTION | {"stream": True} | ASKED_FOR
        assert provider.asked[0].body == json.dumps(asked).encode()

    def test_anthropic_s_are_as_they_came(self, alice, acme, provider, worker):
        open_account(acme, provider, "anthropic")
        provider.answers(streamed(MESSAGE_STREAM))
        body = json.dumps(QUESTION | {"stream": True, "max_tokens": 50}).encode()
        answer = alice.post(MESSAGES_PATH, body)
        assert whole(answer) == b"".join(MESSAGE_STREAM)
        assert provider.asked[0].body == body
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["finish_reason"] == "end_turn"
        assert receipt["served_model"] == "tiny-1-2026"
        assert receipt["request_id"] == "msg_1"
        usage = receipt["usage"]
        assert (usage["input_tokens"], usage["cache_read_tokens"]) == (5, 90)
        assert usage["output_tokens"] == 9

    def test_usage_is_asked_for_and_kept_back(self, alice, account, provider):
        provider.answers(streamed(stream(*TEXTS)))
        body = b'{"stream":true, "model":"tiny-1",\n"x":1.50}'
        answer = chat(alice, body)
        assert whole(answer) == b"".join(stream(*TEXTS, usage=None))
        sent = b'{"stream_options":{"include_usage":true},' + body[1:]
        assert provider.asked[0].body == sent
        receipt = receipt_behind(alice, answer)
        assert receipt["usage"]["output_tokens"] == 9
        assert receipt["input_hash"] == salted(answer["X-Lucid-Input-Salt"], body)

    def test_other_stream_options_stay(self, alice, account, provider):
        provider.answers(streamed(stream(*TEXTS)))
        options = {"include_usage": False, "include_obfuscation": False}
        answer = chat_stream(alice, stream_options=options)
        assert b"usage" not in whole(answer)
        asked = provider.asked[0].json["stream_options"]
        assert asked == {"include_usage": True, "include_obfuscation": False}

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_they_may_come_in_any_pieces(self, alice, account, provider, size):
        data = b"".join(stream("Ça ", "va."))
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        provider.answers(streamed(pieces))
        answer = chat_stream(alice)
        expected = b"".join(stream("Ça ", "va.", usage=None))
        assert whole(answer) == expected
        receipt = receipt_behind(alice, answer)
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, expected)
        assert receipt["output_text_hash"] == salted(salt, "Ça va.".encode())

    def test_they_come_at_once(self, alice, account, provider):
        is_read = threading.Event()
        waited = []

        def wait(place):
            if place == 1:
                waited.append(is_read.wait(5))

        provider.answers(streamed(stream(*TEXTS), act=wait))
        answer = chat_stream(alice)
        assert next(answer.streaming_content) == stream(*TEXTS)[0]
        is_read.set()
        whole(answer)
        assert waited == [True]

    def test_a_whole_answer_may_come_instead(self, alice, account, provider):
        answer = chat_stream(alice)
        assert json.loads(whole(answer)) == CHAT
        receipt = receipt_behind(alice, answer)
        assert receipt["streamed"] is False
        assert receipt["usage"]["output_tokens"] == 9


class TestTheRecord:
    def test_it_is_there_when_the_stream_has_ended(self, alice, account, provider):
        set_price(alice.tenant)
        provider.answers(streamed(stream(*TEXTS)))
        answer = chat_stream(alice, **ASKED_FOR)
        assert answer["X-Lucid-Receipt-Id"]
        assert "X-Lucid-Receipt-Hash" not in answer.headers
        (attempt,) = attempts(alice)
        assert str(attempt.receipt_id) == answer["X-Lucid-Receipt-Id"]
        pieces = list(answer.streaming_content)  # and not closed yet
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["streamed"] is True
        assert receipt["reported"] == {"usage": USAGE}
        assert receipt["cost"]["cents"] == "0.0118"
        assert 0 <= receipt["ttft_ms"] <= receipt["latency_ms"]
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, pieces)
        assert receipt["output_text_hash"] == salted(salt, b"It is covered.")
        sent = json.dumps(QUESTION | {"stream": True} | ASKED_FOR).encode()
        assert receipt["input_hash"] == salted(answer["X-Lucid-Input-Salt"], sent)
        assert not {"delivered", "usage_estimated", "error"} & receipt.keys()
        assert not attempts(alice)
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID
        answer.close()

    def test_ended_twice_it_is_one(self, alice, account, provider, worker):
        provider.answers(streamed(stream(*TEXTS)))
        answer = chat_stream(alice)
        whole(answer)
        answer.close()
        assert log_size(alice) == 1
        assert worker.slots.are_free

    def test_without_usage_it_is_estimated(self, alice, account, provider):
        provider.answers(streamed(stream(*TEXTS, usage=None)))
        answer = chat_stream(alice)
        whole(answer)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["usage_estimated"] is True
        assert receipt["usage"]["output_tokens"] == len(TEXTS)
        sent = len(provider.asked[0].body)
        assert receipt["usage"]["input_tokens"] == -(-sent // 4)
        assert "reported" not in receipt

    def test_an_empty_stream_is_cut(self, alice, account, provider):
        provider.answers(streamed([b""]))
        answer = chat_stream(alice)
        assert whole(answer) == b""
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "cut"
        assert receipt["usage"]["output_tokens"] == 0

    def test_an_error_within_is_one(self, alice, account, provider):
        said = {"error": {"message": f"overloaded {SECRET}"}}
        pieces = [chunk("It "), event(said)]
        provider.answers(streamed(pieces))
        answer = chat_stream(alice)
        assert whole(answer) == b"".join(pieces)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "failed"
        assert receipt["error"] == {
            "code": "PROVIDER_ERROR",
            "message": "overloaded [removed]",
        }
        assert receipt["usage_estimated"] is True

    def test_what_no_receipt_can_hold_is_left_out(self, alice, account, provider):
        usage = USAGE | {"x": 2**70, "y": "\0", "z": "\ud800", "big": "x" * 20_000}
        choices = [{"index": 0, "delta": {}, "finish_reason": "st\0op\ud800"}]
        pieces = [
            chunk("a\ud800\0", id="\ud800\0", model="m\0\ud800"),
            chunk(choices=choices),
            event("not json"),
            event('{"a": 1e999}'),
            chunk(choices=[], usage=usage),
            event("[DONE]"),
        ]
        provider.answers(streamed(pieces))
        answer = chat_stream(alice, **ASKED_FOR)
        assert whole(answer) == b"".join(pieces)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["usage"]["output_tokens"] == 9
        assert receipt["finish_reason"].replace("?", "").replace("�", "") == "stop"
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID


class TestOneThatBreaksOff:
    def test_the_client_sees_it(self, alice, account, provider):
        set_price(alice.tenant)
        pieces = [chunk("It "), chunk("is ")]
        provider.answers(streamed(pieces, cut=True))
        answer = chat_stream(alice, **ASKED_FOR)
        assert read_until_cut(answer) == b"".join(pieces)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "cut"
        assert receipt["error"]["code"] == "PROVIDER_ERROR"
        assert receipt["usage_estimated"] is True
        assert receipt["usage"]["output_tokens"] == 2
        assert receipt["cost"]["source"] == "tenant_price"
        assert "delivered" not in receipt
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, pieces)
        assert not attempts(alice)

    def test_before_its_first_byte_it_is_a_502(self, alice, account, provider, worker):
        provider.answers(streamed([], cut=True))
        answer = chat_stream(alice)
        refusal(answer, 502, "PROVIDER_ERROR")
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "failed"
        assert receipt["cost"] == {"source": "unpriced"}
        assert worker.slots.are_free

    def test_one_that_falls_silent(self, alice, acme, provider, worker):
        open_account(acme, provider, silence_seconds=1)
        over = threading.Event()

        def fall_silent(place):
            if place == 1:
                over.wait(10)

        provider.answers(streamed(stream(*TEXTS), act=fall_silent))
        answer = chat_stream(alice)
        assert read_until_cut(answer) == stream(*TEXTS)[0]
        over.set()
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "cut"
        assert receipt["error"]["code"] == "PROVIDER_TIMEOUT"
        assert worker.slots.are_free

    def test_anthropic_s_own_count_of_the_input_stays(
        self, alice, acme, provider, worker
    ):
        open_account(acme, provider, "anthropic")
        provider.answers(streamed(MESSAGE_STREAM[:4], cut=True))
        answer = alice.post(MESSAGES_PATH, QUESTION | {"stream": True})
        read_until_cut(answer)
        usage = receipt_behind(alice, answer)["usage"]
        assert (usage["input_tokens"], usage["cache_read_tokens"]) == (5, 90)
        assert usage["output_tokens"] == 2

    def test_the_picture_of_a_request_is_not_taken_for_text(
        self, alice, account, provider
    ):
        provider.answers(streamed([chunk("It ")], cut=True))
        answer = chat_stream(alice, image="data:" + "x" * 4_000_000)
        read_until_cut(answer)
        assert receipt_behind(alice, answer)["usage"]["input_tokens"] < 21_000


class TestAClientThatLeaves:
    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_the_call_is_read_on_and_recorded(
        self, alice, account, provider, worker, count
    ):
        pieces = stream(*TEXTS)
        provider.answers(streamed(pieces))
        run = start(alice)
        body = QUESTION | {"stream": True} | ASKED_FOR
        answer = chat(alice, body, X_Lucid_Orchestration=run)
        leave_after(answer, count)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "completed"
        assert receipt["delivered"] is False
        assert receipt["reported"] == {"usage": USAGE}
        assert "usage_estimated" not in receipt
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, pieces)
        assert get(alice, run)["total_tokens"] == 23
        assert not attempts(alice)
        assert worker.slots.are_free

    def test_not_for_ever(self, alice, account, provider, settings, worker):
        settings.LUCID_GATEWAY_DRAIN_SECONDS = 0
        goes_on = threading.Event()
        provider.answers(streamed(stream(*TEXTS), act=lambda n: n and goes_on.wait(5)))
        answer = chat_stream(alice)
        next(answer.streaming_content)
        goes_on.set()
        answer.close()
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "cut"
        assert receipt["delivered"] is False
        assert receipt["usage_estimated"] is True
        assert worker.slots.are_free

    def test_of_one_that_breaks_off_then(self, alice, account, provider, worker):
        provider.answers(streamed([chunk("It "), chunk("is ")], cut=True))
        answer = chat_stream(alice)
        leave_after(answer, 1)
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "cut"
        assert receipt["delivered"] is False
        assert worker.slots.are_free


def test_what_says_200_later_is_no_stream(alice, account, provider):
    headers = {"Content-Type": "text/event-stream"}
    provider.answers(Scripted(b'{"error":{"message":"no"}}', 400, headers))
    answer = chat_stream(alice)
    assert answer.status_code == 400
    assert not answer.streaming
    (receipt,) = receipts_of(alice)
    assert receipt["model"] == MODEL
    assert receipt["error"] == {"code": "HTTP_400", "message": "no"}
