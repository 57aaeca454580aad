import io
import json

import pytest
from django.test import Client

from tests.caller import RUN
from tests.receipts.auditor import log_size

MIB = 1 << 20
ERROR = {
    *("success", "error", "message", "error_code", "code", "http_status"),
    *("details", "request_id"),
}
PATHS = ["/v1/receipts", "/v1/receipts/batch"]
WHOLE = json.dumps(RUN).encode()


def run_with(member: bytes) -> bytes:
    return WHOLE[:-1] + b", " + member + b"}"


MALFORMED = {
    "empty": b"",
    "only spaces": b" \n",
    "cut off": WHOLE[:-1],
    "two documents": WHOLE + WHOLE,
    "a word": b"receipt",
    "single quotes": b"{'a': 1}",
    "a trailing comma": WHOLE[:-1] + b",}",
    "a comment": WHOLE + b"// none",
    "a leading zero": run_with(b'"x": 01'),
    "a raw control character": run_with(b'"x": "\x01"'),
    "a raw newline": run_with(b'"x": "a\nb"'),
    "a NUL": b"\x00",
    "a NUL after the document": WHOLE + b"\x00",
    "a form": b"tokens_in=42&tokens_out=128",
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "invalid UTF-8": run_with(b'"x": "\xff"'),
    "a surrogate in UTF-8": run_with(b'"x": "\xed\xa0\x80"'),
    "a lone surrogate": run_with(b'"x": "\\ud800"'),
    "a lone surrogate deep down": run_with(b'"x": [{"y": ["\\udc00"]}]'),
    "a lone surrogate in a name": run_with(b'"\\udfff": 1'),
    "a lone surrogate in a claim": run_with(b'"run_id": "\\ud83d"'),
    "a duplicate member": run_with(b'"tokens_in": 42'),
    "a duplicate member deep down": run_with(b'"attestation": {"a": {"b":1,"b":1}}'),
    "a duplicate lone surrogate": run_with(b'"\\ud800": 1, "\\ud800": 2'),
    "NaN": run_with(b'"x": NaN'),
    "Infinity": run_with(b'"x": Infinity'),
    "minus Infinity": run_with(b'"attestation": {"a": -Infinity}'),
    "1e400": run_with(b'"x": 1e400'),
    "minus 1e400": run_with(b'"attestation": {"a": -1e400}'),
    "2^53": run_with(b'"x": 9007199254740992'),
    "minus 2^53": run_with(b'"x": -9007199254740992'),
    "2^53 as a float": run_with(b'"x": 9007199254740992.0'),
    "2^64": run_with(b'"attestation": {"a": 18446744073709551616}'),
    "5,000 digits": run_with(b'"x": ' + b"9" * 5_000),
    "33 levels": run_with(b'"x": ' + b"[" * 32 + b"]" * 32),
    "10,000 levels": run_with(b'"x": ' + b"[" * 10_000 + b"]" * 10_000),
    "a MiB of openings": b"[" * MIB,
    "a MiB of objects": b'{"a":' * (MIB // 5),
    "a deep name": run_with(b'"x": ' + b'{"a":' * 100 + b"1" + b"}" * 100),
}
NOT_AN_OBJECT = {
    "an array": b"[" + WHOLE + b"]",
    "an empty array": b"[]",
    "a string": b'"receipt"',
    "a number": b"42",
    "true": b"true",
    "null": b"null",
    "an empty object": b"{}",
}


def assert_refused(answer, status, code):
    """It is the flat error body of WIRE section 1, with every member."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert body.keys() == ERROR
    assert body["success"] is False
    assert body["error"] == body["message"] != ""
    assert body["error_code"] == body["code"] == code
    assert body["http_status"] == status
    assert body["request_id"] == answer["X-Request-ID"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [*MALFORMED.values(), *NOT_AN_OBJECT.values()],
    ids=[*MALFORMED, *NOT_AN_OBJECT],
)
def test_it_is_a_400_and_nothing_is_written(alice, path, body):
    answer = alice.post(path, body, Content_Type="application/json")
    assert_refused(answer, 400, "INVALID_REQUEST")
    assert log_size(alice) == 0


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_the_details_say_where(alice, body):
    answer = alice.post("/v1/receipts", body, Content_Type="application/json")
    details = answer.json()["details"]
    assert len(details) == 1
    assert all(complaints and all(complaints) for complaints in details.values())


@pytest.mark.parametrize(
    ("member", "field"),
    [
        (b'"tokens_in": 1', "tokens_in"),
        (b'"attestation": {"a": [0, 1e400]}', "attestation.a.1"),
        (b'"attestation": {"a": [0, {"b": 9007199254740992}]}', "attestation.a.1.b"),
    ],
)
def test_the_path_of_the_member_is_named(alice, member, field):
    body = alice.post("/v1/receipts", run_with(member)).json()
    assert [*body["details"]] == [field]
    assert body["message"].startswith(f"{field}: ")


class TestSize:
    @staticmethod
    def padded(size):
        body = run_with(b'"x": ""')
        return body[:-2] + b"a" * (size - len(body)) + b'"}'

    def test_one_mebibyte_is_taken(self, alice):
        answer = alice.post("/v1/receipts", self.padded(MIB))
        assert answer.status_code == 200

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("size", [MIB + 1, 4 * MIB])
    def test_a_byte_more_is_413(self, alice, path, size):
        answer = alice.post(path, self.padded(size))
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
        assert log_size(alice) == 0


class TestContentType:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application/ld+json",
            "nonsense",
            "; charset=utf-8",
        ],
    )
    def test_another_is_415(self, alice, path, content_type):
        answer = alice.post(path, RUN, content_type=content_type)
        assert_refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
        assert log_size(alice) == 0

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "application/json; charset=utf-8", "Application/JSON"],
    )
    def test_json_is_taken(self, alice, content_type):
        answer = alice.post("/v1/receipts", RUN, content_type=content_type)
        assert answer.status_code == 200

    @pytest.mark.parametrize("accept", ["*/*", "text/html", "application/xml", "x"])
    def test_json_is_answered_whatever_is_accepted(self, alice, accept):
        answer = alice.post("/v1/receipts", RUN, Accept=accept)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"


class TestChunkedBodies:
    """A chunked request has no Content-Length, which Django takes for no body."""

    @staticmethod
    def post(caller, body, terminated=True):
        return Client(raise_request_exception=False).generic(
            "POST",
            "/v1/receipts",
            headers={"Authorization": f"Bearer {caller.text}"},
            **{
                "CONTENT_TYPE": "application/json",
                "HTTP_TRANSFER_ENCODING": "chunked",
                "wsgi.input": io.BytesIO(body),
                "wsgi.input_terminated": terminated,
            },
        )

    def test_they_are_taken(self, alice):
        answer = self.post(alice, WHOLE)
        assert answer.status_code == 200
        assert answer.json()["receipt"]["runtime"] == "vllm"

    def test_malformed_ones_are_refused(self, alice):
        assert_refused(self.post(alice, WHOLE[:-1]), 400, "INVALID_REQUEST")

    def test_more_than_a_mebibyte_is_413(self, alice):
        answer = self.post(alice, TestSize.padded(MIB + 1))
        assert_refused(answer, 413, "PAYLOAD_TOO_LARGE")
        assert log_size(alice) == 0

    def test_without_a_server_that_ends_them_a_length_is_asked_for(self, alice):
        answer = self.post(alice, WHOLE, terminated=False)
        assert_refused(answer, 400, "INVALID_REQUEST")


class TestRequestId:
    @pytest.mark.parametrize(
        "given",
        ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "req:1/2+3=4@5._-", "a" * 128],
    )
    def test_a_fit_one_is_echoed(self, alice, given):
        answer = alice.post("/v1/receipts", b"", X_Request_ID=given)
        assert answer["X-Request-ID"] == answer.json()["request_id"] == given

    @pytest.mark.parametrize("given", ["", "a" * 129, "a b", "a\tb", "é", '"', "a;b"])
    def test_another_is_replaced(self, alice, given):
        answer = alice.post("/v1/receipts", b"", X_Request_ID=given)
        assert answer["X-Request-ID"].startswith("req_")
        assert answer.json()["request_id"] == answer["X-Request-ID"]

    def test_each_request_gets_its_own(self, alice):
        made = {alice.get("/v1/receipts")["X-Request-ID"] for _ in range(3)}
        assert len(made) == 3


class TestUrls:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/receipts/%00",
            "/v1/receipts/a%00b/proof",
            "/v1/receipts?trace_id=%00",
            "/v1/receipts?cursor=a%00",
            "/v1/keys?tenant=%00",
            "/v1/receipts/run-1/proof?size=%00",
        ],
    )
    def test_a_nul_is_400(self, alice, path):
        assert_refused(alice.get(path), 400, "INVALID_REQUEST")

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/receipts/%FF",
            "/v1/receipts/%ED%A0%80",
            "/v1/receipts/run-1/",
            "/v1/receipts/a/b/c",
            "/v1/nothing",
            "/v1/verify/" + "0" * 64 + "/",
        ],
    )
    def test_what_is_not_there_is_404(self, alice, path):
        assert_refused(alice.get(path), 404, "NOT_FOUND")

    @pytest.mark.parametrize("path", ["/v1/receipts/", "/v1/keys/", "/v1"])
    def test_there_is_no_redirect(self, alice, path):
        assert_refused(alice.get(path), 404, "NOT_FOUND")

    @pytest.mark.parametrize("value", ["%FF", "%ED%A0%80", "a" * 5_000, "%F0%9F%98%80"])
    def test_a_filter_that_nothing_matches_is_an_empty_list(self, alice, value):
        alice.record()
        answer = alice.get(f"/v1/receipts?trace_id={value}")
        assert answer.json() == {"success": True, "receipts": [], "next_cursor": None}


class TestMethods:
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
    def test_others_are_405(self, alice, method):
        answer = alice.request(method, "/v1/receipts", WHOLE)
        assert_refused(answer, 405, "METHOD_NOT_ALLOWED")

    def test_a_405_says_which_are_allowed(self, alice):
        # RFC 9110 section 15.5.6 has it so.
        answer = alice.request("DELETE", "/v1/receipts")
        assert {*answer["Allow"].split(", ")} >= {"GET", "POST"}

    def test_a_head_is_a_get_without_its_body(self, alice):
        run_id = alice.record()["run_id"]
        got = alice.get(f"/v1/receipts/{run_id}")
        answer = alice.request("HEAD", f"/v1/receipts/{run_id}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer["Content-Length"] == str(len(got.content))
