"""What becomes of a single prompt that the provider does not answer."""

import json
import threading

import pytest

from orchestrations.models import Step
from tests.orchestrations.calling import (
    attempts,
    infer,
    only_run,
    receipt_behind,
    receipts_of,
    refusal,
)
from tests.orchestrations.provider import (
    CHAT,
    SECRET,
    Scripted,
    encoded,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import get
from tests.receipts.auditor import log_size


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "401 Unauthorized"),
        (429, "429 Too Many Requests"),
        (500, "500 Internal Server Error"),
        (529, "529"),
    ],
)
def test_what_the_provider_said_is_told(alice, account, provider, status, told):
    error = {"error": {"message": f"No. Your key is {SECRET}, and no good."}}
    provider.answers(Scripted(error, status=status))
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert body["message"] == f"The provider answered {told}."
    message = "No. Your key is [removed], and no good."
    assert body["details"] == {
        "provider_status": [str(status)],
        "provider_message": [message],
    }
    receipt = receipt_behind(alice, answer)
    assert receipt["run_id"] == body["inference_id"]
    assert receipt["outcome"] == "failed"
    assert receipt["http_status"] == status
    assert receipt["error"] == {"code": f"HTTP_{status}", "message": message}
    assert receipt["cost"] == {"source": "no_charge", "cents": "0"}
    assert SECRET not in json.dumps([body, receipt, get(alice, only_run(alice).pk)])


def test_an_answer_that_is_no_json(alice, account, provider):
    provider.answers(b"<html>It is covered.</html>")
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert body["details"]["provider_status"] == ["200"]
    receipt = receipt_behind(alice, answer)
    assert receipt["error"]["code"] == "MALFORMED_ANSWER"
    assert receipt["usage_estimated"] is True
    assert receipt["output_hash"]


def test_a_stream_that_nobody_asked_for(alice, account, provider):
    provider.answers(streamed(stream("It is covered.")))
    answer = infer(alice)
    refusal(answer, 502, "PROVIDER_ERROR")
    assert receipt_behind(alice, answer)["error"]["code"] == "MALFORMED_ANSWER"
    assert not attempts(alice)


def test_an_error_that_says_200(alice, account, provider):
    provider.answers({"error": {"message": f"overloaded {SECRET}", "code": 502}})
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert body["details"]["provider_message"] == ["overloaded [removed]"]
    receipt = receipt_behind(alice, answer)
    assert receipt["outcome"] == "failed"
    assert receipt["error"]["code"] == "PROVIDER_ERROR"
    assert receipt["error"]["message"] == "overloaded [removed]"
    assert receipt["cost"]["source"] == "no_charge"


def test_a_redirect_is_not_followed(alice, account, provider):
    away = {"Location": f"{provider.url}/chat/completions"}
    provider.answers(Scripted(CHAT, status=307, headers=away))
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert body["details"]["provider_status"] == ["307"]
    assert receipt_behind(alice, answer)["outcome"] == "failed"
    assert len(provider.asked) == 1


def test_a_provider_that_is_not_there(alice):
    open_account(alice.tenant, None)
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert "not reached" in body["message"]
    receipt = receipt_behind(alice, answer)
    assert receipt["error"]["code"] == "PROVIDER_ERROR"
    assert receipt["cost"]["source"] == "no_charge"
    assert "http_status" not in receipt


def test_a_provider_that_says_nothing(alice, provider):
    open_account(alice.tenant, provider, silence_seconds=1)
    over = threading.Event()
    provider.answers(Scripted([b"", b"{}"], act=lambda place: over.wait(10)))
    answer = infer(alice)
    over.set()
    body = refusal(answer, 504, "PROVIDER_TIMEOUT")
    assert body["message"] == "The provider sent nothing for 1 seconds."
    receipt = receipt_behind(alice, answer)
    assert receipt["error"]["code"] == "PROVIDER_TIMEOUT"
    assert receipt["cost"] == {"source": "unpriced"}
    assert get(alice, body["orchestration_id"])["status"] == "failed"


def test_a_provider_that_breaks_off(alice, account, provider):
    provider.answers(Scripted([encoded(CHAT)[:50]], cut=True))
    answer = infer(alice)
    assert "broke off" in refusal(answer, 502, "PROVIDER_ERROR")["message"]
    assert receipt_behind(alice, answer)["cost"] == {"source": "unpriced"}
    assert not attempts(alice)


def test_a_provider_whose_answer_is_too_large(alice, account, settings):
    settings.LUCID_GATEWAY_MAX_ANSWER = 100
    body = refusal(infer(alice), 502, "PROVIDER_ERROR")
    assert "larger than" in body["message"]
    assert log_size(alice) == 2


def test_a_provider_that_must_not_be_called(alice, provider):
    account = open_account(alice.tenant, provider)
    account.allowed_hosts = []
    account.save()
    body = refusal(infer(alice), 502, "PROVIDER_ERROR")
    assert "not public" in body["message"]
    assert "receipt_id" not in body
    assert not provider.asked
    assert not receipts_of(alice)  # of a call that was not made
    assert not attempts(alice)
    run = only_run(alice)
    assert (run.status, run.inference_count) == ("failed", 0)
    assert not Step.objects.filter(tenant=alice.tenant).exists()


def test_a_credential_that_no_header_can_hold_is_not_told(alice, account, provider):
    account.credential = "sk-0123456789\nabcdef"
    account.save()
    answer = infer(alice)
    body = refusal(answer, 502, "PROVIDER_ERROR")
    assert "0123456789" not in answer.content.decode()
    assert body["message"] == "HTTP cannot carry the request."
    assert not provider.asked
    assert not attempts(alice)


@pytest.mark.parametrize("status", [401, 500])
def test_clients_that_repeat_any_5xx_are_told_not_to(alice, provider, status):
    open_account(alice.tenant, provider)
    provider.answers(Scripted({"error": {"message": "no"}}, status))
    answer = infer(alice)
    assert (answer.status_code, answer["X-Should-Retry"]) == (502, "false")
