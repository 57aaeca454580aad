"""The drop-in endpoints, unstreamed: bytes go through, and a receipt comes of them."""

import json

import pytest

from orchestrations.models import ContentSalts
from receipts.verifier import Verdict
from tests.conftest import new_caller
from tests.orchestrations.calling import (
    CHAT_PATH,
    MESSAGES_PATH,
    attempts,
    chat,
    receipt_behind,
    refusal,
    salted,
    set_price,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    MESSAGE,
    MODEL,
    QUESTION,
    SECRET,
    Scripted,
    open_account,
)
from tests.receipts.auditor import audit, fetch, log_size

# JSON as nobody here would write it, with members that nobody here knows.
ODD_QUESTION = (
    b'\r\n{ "model":"tiny-1" ,"x_unknown" :{"\\u00e9":[1.50,1e2]},\t"messages":[ {'
    b'"role":"user","content":"Is it \\u0063overed?"} ] , "temperature":1.0}\n '
)
ODD_ANSWER = (
    b'{"usage" : {"prompt_tokens":14,"completion_tokens":9,"x":1.50},\n\n "id":"a",'
    b'"choices":[{"message":{"content":"It is c\\u006fvered."},"logprobs":{"\\/":1}}],'
    b'"model":"tiny-1",  "x_unknown":"\\ud83d\\ude00"}\r\n'
)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
ASKING_MUCH = QUESTION | {
    "tools": TOOLS,
    "tool_choice": "required",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s"}},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
                },
            ],
        }
    ],
}
CALLING_TOOL = CHAT | {
    "choices": [
        {
            "message": {
                "content": None,
                "tool_calls": [{"id": "c1", "function": {"name": "f"}}],
            },
            "finish_reason": "tool_calls",
        }
    ]
}


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


@pytest.fixture
def anthropic(acme, provider):
    provider.answers(MESSAGE)
    return open_account(acme, provider, "anthropic")


class TestBytes:
    def test_they_are_relayed_as_they_are(self, alice, account, provider):
        provider.answers(ODD_ANSWER)
        answer = chat(alice, ODD_QUESTION)
        assert answer.status_code == 200
        assert answer.content == ODD_ANSWER
        assert provider.asked[0].body == ODD_QUESTION
        assert answer["Content-Length"] == str(len(ODD_ANSWER))

    def test_they_are_relayed_as_they_are_to_anthropic(
        self, alice, anthropic, provider
    ):
        answer = alice.post(MESSAGES_PATH, ODD_QUESTION)
        assert json.loads(answer.content) == MESSAGE
        assert provider.asked[0].body == ODD_QUESTION
        assert provider.asked[0].path == "/v1/messages"

    @pytest.mark.parametrize("path", [CHAT_PATH, MESSAGES_PATH])
    def test_a_custom_host_speaks_both(self, alice, account, provider, path):
        provider.answers(MESSAGE if path == MESSAGES_PATH else CHAT)
        answer = alice.post(path, QUESTION)
        assert provider.asked[0].path == path
        receipt = receipt_behind(alice, answer)
        assert receipt["usage"]["input_tokens"] == 14
        assert receipt["usage"]["output_tokens"] == 9

    def test_tools_schemas_and_images_are_not_touched(self, alice, account, provider):
        provider.answers(CALLING_TOOL)
        answer = chat(alice, ASKING_MUCH)
        assert provider.asked[0].json == ASKING_MUCH
        assert answer.json() == CALLING_TOOL
        receipt = receipt_behind(alice, answer)
        assert receipt["finish_reason"] == "tool_calls"
        assert "output_text_hash" not in receipt
        assert "usage_estimated" not in receipt

    def test_a_large_request_is_relayed(self, alice, account, provider):
        body = json.dumps(QUESTION | {"image": "x" * (30 << 20)}).encode()
        answer = chat(alice, body)
        assert answer.status_code == 200
        assert provider.asked[0].body == body

    def test_one_too_large_is_refused(self, alice, account, provider):
        body = b" " * (33 << 20)
        assert "32 MiB" in refusal(chat(alice, body), 413, "PAYLOAD_TOO_LARGE")["error"]
        assert not provider.asked

    def test_a_large_answer_is_relayed(self, alice, account, provider):
        set_price(alice.tenant)
        text = "covered " * (50 << 17)
        told = CHAT | {"choices": [{"message": {"content": text}}]}
        body = json.dumps(told).encode()
        assert len(body) > 50 << 20
        provider.answers(body)
        answer = chat(alice)
        assert answer.streaming
        assert whole(answer) == body
        assert answer["Content-Length"] == str(len(body))
        assert answer["X-Lucid-Cost-Cents"] == "0.0118"
        receipt = receipt_behind(alice, answer)
        assert receipt["usage"]["output_tokens"] == 9
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, body)
        assert receipt["output_text_hash"] == salted(salt, text.encode())

    def test_an_answer_that_is_no_json_is_relayed_too(self, alice, account, provider):
        provider.answers(Scripted(b"\xff\xfe no", headers={"Content-Type": "a/b"}))
        answer = chat(alice)
        assert (answer.status_code, answer.content) == (200, b"\xff\xfe no")
        assert answer["Content-Type"] == "a/b"
        receipt = receipt_behind(alice, answer)
        assert receipt["outcome"] == "failed"
        assert receipt["error"]["code"] == "MALFORMED_ANSWER"

    def test_the_query_goes_on(self, alice, account, provider):
        answer = alice.post(f"{CHAT_PATH}?api-version=2026-10&x=%C3%A9", QUESTION)
        assert answer.status_code == 200
        path = "/v1/chat/completions?api-version=2026-10&x=%C3%A9"
        assert provider.asked[0].path == path

    def test_a_query_is_percent_encoded(self, alice, account, provider):
        answer = alice.post(f"{CHAT_PATH}?x=é", QUESTION)
        assert refusal(answer, 400, "INVALID_REQUEST")["details"].keys() == {"query"}
        assert not provider.asked


class TestHeaders:
    def test_the_receipt_s(self, alice, account):
        set_price(alice.tenant)
        answer = chat(alice)
        receipt = receipt_behind(alice, answer)
        assert answer["X-Lucid-Receipt-Hash"] == receipt["receipt_hash"]
        assert answer["X-Lucid-Inference-Id"] == receipt["run_id"]
        assert answer["X-Lucid-Cost-Cents"] == receipt["cost"]["cents"] == "0.0118"
        assert answer["X-Lucid-Provider"] == "custom"
        assert "X-Lucid-Receipt-Pending" not in answer.headers
        assert audit(alice, receipt["run_id"]).verdict is Verdict.VALID

    def test_an_unpriced_call_tells_no_cost(self, alice, account):
        assert "X-Lucid-Cost-Cents" not in chat(alice).headers

    def test_the_provider_s(self, alice, account, provider):
        told = {
            "Content-Type": "application/json; charset=utf-8",
            "X-RateLimit-Remaining-Tokens": "7",
            "OpenAI-Processing-Ms": "5",
            "Anthropic-Organization-Id": f"o {SECRET}",
            "Request-Id": "req_7",
        }
        kept = {"Set-Cookie": "a=b", "Server": "s", "X-Powered-By": "p", "Via": "v"}
        provider.answers(Scripted(CHAT, headers=told | kept))
        answer = chat(alice)
        assert {name: answer[name] for name in told} == told | {
            "Anthropic-Organization-Id": "o [removed]"
        }
        assert not kept.keys() & set(answer.headers)
        assert not answer.cookies
        assert SECRET not in str(answer.headers)
        assert receipt_behind(alice, answer)["request_id"] == "req_7"

    def test_what_is_sent(self, alice, account, provider):
        chat(
            alice,
            Accept="text/plain",
            OpenAI_Beta="b=1",
            X_API_Key=alice.text,
            Cookie="a=b",
            User_Agent="u",
            Idempotency_Key="k",
        )
        headers = provider.asked[0].headers
        host = f"127.0.0.1:{provider.port}"
        assert headers == {
            "host": host,
            "content-length": str(len(provider.asked[0].body)),
            "content-type": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {SECRET}",
            "accept": "text/plain",
            "openai-beta": "b=1",
        }

    def test_what_is_sent_to_anthropic(self, alice, anthropic, provider):
        alice.post(MESSAGES_PATH, QUESTION)
        alice.post(
            MESSAGES_PATH,
            QUESTION,
            Anthropic_Version="2027-01-01",
            Anthropic_Beta="files,batch",
        )
        first, second = (asked.headers for asked in provider.asked)
        assert first["anthropic-version"] == "2023-06-01"
        assert "anthropic-beta" not in first
        assert second["anthropic-version"] == "2027-01-01"
        assert second["anthropic-beta"] == "files,batch"
        for headers in (first, second):
            assert headers["x-api-key"] == SECRET
            assert "authorization" not in headers

    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
    def test_an_error_is_relayed_without_our_key(
        self, alice, account, provider, status
    ):
        told = {"error": {"message": f"Incorrect key: {SECRET}"}}
        provider.answers(Scripted(told, status, {"Retry-After": "60"}))
        answer = chat(alice)
        assert answer.status_code == status
        assert answer.json() == {"error": {"message": "Incorrect key: [removed]"}}
        assert answer["Retry-After"] == "60"
        assert answer["X-Should-Retry"] == "false"
        receipt = receipt_behind(alice, answer)
        assert receipt["error"]["message"] == "Incorrect key: [removed]"
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, answer.content)


class TestSalts:
    def test_the_headers_prove_what_was_said(self, alice, account, provider):
        provider.answers(ODD_ANSWER)
        answer = chat(alice, ODD_QUESTION)
        receipt = receipt_behind(alice, answer)
        salt = answer["X-Lucid-Input-Salt"]
        assert receipt["input_hash"] == salted(salt, ODD_QUESTION)
        salt = answer["X-Lucid-Output-Salt"]
        assert receipt["output_hash"] == salted(salt, ODD_ANSWER)
        assert receipt["output_text_hash"] == salted(salt, b"It is covered.")

    def test_they_are_there_to_be_asked_for(self, alice, account):
        answer = chat(alice)
        for name in ("X-Lucid-Inference-Id", "X-Lucid-Receipt-Id"):
            assert fetch(alice, f"/v1/inferences/{answer[name]}/salts") == {
                "success": True,
                "receipt_id": answer["X-Lucid-Receipt-Id"],
                "input_salt": answer["X-Lucid-Input-Salt"],
                "output_salt": answer["X-Lucid-Output-Salt"],
            }

    def test_no_two_calls_share_them(self, alice, account):
        answers = [chat(alice) for _ in range(2)]
        salts = {answer[f"X-Lucid-{i}-Salt"] for answer in answers for i in IN_OUT}
        assert len(salts) == 4
        hashes = {receipt_behind(alice, it)["input_hash"] for it in answers}
        assert len(hashes) == 2

    def test_they_are_for_who_may_read(self, alice, bob, charlie, acme, account):
        path = f"/v1/inferences/{chat(alice)['X-Lucid-Receipt-Id']}/salts"
        assert new_caller(acme, ("orchestrations:read",)).get(path).status_code == 200
        refusal(bob.get(path), 403, "INSUFFICIENT_SCOPE")
        refusal(charlie.get(path), 404, "NOT_FOUND")
        refusal(new_caller(acme, mode="test").get(path), 404, "NOT_FOUND")

    def test_once_erased_they_are_gone(self, alice, account):
        answer = chat(alice)
        ContentSalts.objects.filter(pk=answer["X-Lucid-Receipt-Id"]).delete()
        path = f"/v1/inferences/{answer['X-Lucid-Receipt-Id']}/salts"
        refusal(alice.get(path), 404, "NOT_FOUND")
        assert receipt_behind(alice, answer)["input_hash"]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (b'{"model": "a", "model": "b"}', "model"),
            (b'{"model": "a", "messages": [{"role": "x", "role": "y"}]}', "role"),
            (b'{"model": "a", "stream": true, "str\\u0065am": false}', "stream"),
            (b"{}", "model"),
            (b'{"model": ""}', "model"),
            (b'{"model": 1}', "model"),
            (b'{"model": "a\\u0000b"}', "model"),
            (b'{"model": "a\\ud800"}', "model"),
            (b'{"model": "a\\nb"}', "model"),
            (b'{"model": "%s"}' % (b"a" * 201), "model"),
            (b"[]", "body"),
            (b" ", "body"),
            (b"{", "body"),
            (b"\xff{}", "body"),
            (b"[" * 100_000, "body"),
            (b'{"a": %s}' % (b"9" * 5000), "body"),
        ],
    )
    def test_a_body(self, alice, account, provider, body, field):
        found = refusal(chat(alice, body), 400, "INVALID_REQUEST")
        assert found["details"].keys() == {field}
        assert not provider.asked
        assert not attempts(alice)
        assert log_size(alice) == 0

    def test_what_is_no_json(self, alice, account):
        answer = alice.request("POST", CHAT_PATH, b"{}", "text/plain")
        refusal(answer, 415, "UNSUPPORTED_MEDIA_TYPE")

    def test_get(self, alice, account):
        refusal(alice.get(CHAT_PATH), 405, "METHOD_NOT_ALLOWED")

    def test_a_model_that_is_spoken_of_otherwise(self, alice, anthropic):
        found = refusal(chat(alice), 400, "INVALID_REQUEST")
        assert "taken by anthropic" in found["details"]["model"][0]


IN_OUT = ("Input", "Output")


def test_text_is_hashed_as_the_model_s_name_is_kept(alice, account, provider):
    provider.answers(CHAT | {"model": "tiny-1-2026"})
    receipt = receipt_behind(alice, chat(alice))
    assert (receipt["model"], receipt["served_model"]) == (MODEL, "tiny-1-2026")
