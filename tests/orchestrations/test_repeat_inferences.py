"""An Idempotency-Key: the provider is called once, and the receipt tells the rest."""

import pytest

from orchestrations.models import ContentSalts
from tests.orchestrations.calling import (
    ASKED,
    infer,
    meanwhile,
    refusal,
)
from tests.orchestrations.provider import (
    CHAT,
    Scripted,
    open_account,
)
from tests.orchestrations.runs import start
from tests.receipts.auditor import log_size


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


def test_a_repeat_gets_all_but_the_text(alice, account, provider):
    first = infer(alice, Idempotency_Key="k")
    again = infer(alice, Idempotency_Key="k")
    assert again.status_code == 200
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.json() == first.json() | {"response": None}
    assert len(provider.asked) == 1
    assert log_size(alice) == 2


def test_it_is_repeated_without_salts_once_they_are_erased(alice, account):
    infer(alice, Idempotency_Key="k")
    ContentSalts.objects.filter(tenant=alice.tenant).delete()
    again = infer(alice, Idempotency_Key="k").json()
    assert again["tokens_used"] == 23
    assert again["input_salt"] is again["output_salt"] is None


def test_another_body_is_refused(alice, account, provider):
    infer(alice, Idempotency_Key="k")
    other = infer(alice, ASKED | {"prompt": "Why?"}, Idempotency_Key="k")
    refusal(other, 409, "IDEMPOTENCY_CONFLICT")
    assert len(provider.asked) == 1


def test_a_repeat_meanwhile_is_told_so(alice, account, provider):
    answers = []
    repeat = meanwhile(lambda: answers.append(infer(alice, Idempotency_Key="k")))
    provider.answers(Scripted(CHAT, act=repeat))
    assert infer(alice, Idempotency_Key="k").status_code == 200
    assert "under way" in refusal(answers[0], 409, "CONFLICT")["message"]
    assert len(provider.asked) == 1


def test_a_failure_is_not_tried_again(alice, account, provider):
    provider.answers(Scripted(b"{}", status=400))
    first = infer(alice, Idempotency_Key="k").json()
    body = refusal(infer(alice, Idempotency_Key="k"), 502, "PROVIDER_ERROR")
    assert body["receipt_id"] == first["receipt_id"]
    assert len(provider.asked) == 1


def test_a_success_at_the_second_try_is_one(alice, provider):
    open_account(alice.tenant, provider, retries=1)
    busy = Scripted(b"{}", status=503, headers={"Retry-After": "0"})
    provider.answers(busy, CHAT)
    first = infer(alice, Idempotency_Key="k")
    assert first.status_code == 200
    again = infer(alice, Idempotency_Key="k")
    assert again.json() == first.json() | {"response": None}
    assert len(provider.asked) == 2


def test_a_refusal_is_not_kept(alice, account):
    run = start(alice, budget_cents=0)
    named = ASKED | {"orchestration_id": run}
    refusal(infer(alice, named, Idempotency_Key="k"), 429, "BUDGET_EXCEEDED")
    assert infer(alice, Idempotency_Key="k").status_code == 200


def test_a_call_that_was_not_made_is_not_under_way(alice, provider):
    open_account(alice.tenant, provider)
    account = alice.tenant.providercredential_set.get()
    account.allowed_hosts = []
    account.save()
    refusal(infer(alice, Idempotency_Key="k"), 502, "PROVIDER_ERROR")
    body = refusal(infer(alice, Idempotency_Key="k"), 502, "PROVIDER_ERROR")
    assert "was not made" in body["message"]


def test_a_key_is_of_one_tenant(alice, charlie, account, provider):
    open_account(charlie.tenant, provider)
    infer(alice, Idempotency_Key="k")
    assert infer(charlie, Idempotency_Key="k").json()["response"]


def test_a_bad_key_takes_no_slot(alice, account, worker):
    body = refusal(infer(alice, Idempotency_Key="a b"), 400, "INVALID_REQUEST")
    assert body["details"].keys() == {"Idempotency-Key"}
    assert worker.slots.are_free
