"""X-Lucid headers: to which agent, orchestration and provider a relayed call goes."""

import pytest

from orchestrations.models import Orchestration
from tenants.models import Mode
from tests.conftest import new_caller
from tests.orchestrations.calling import (
    attempts,
    chat,
    chat_stream,
    only_run,
    receipt_behind,
    refusal,
    row_of,
    whole,
)
from tests.orchestrations.provider import QUESTION, open_account
from tests.orchestrations.runs import AGENT, get, post, start
from tests.receipts.auditor import log_size

NO_RUN = "maip-orch:01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def account(acme, provider):
    return open_account(acme, provider)


class TestAlone:
    def test_a_call_has_no_orchestration(self, alice, account):
        receipt = receipt_behind(alice, chat(alice))
        assert "orchestration_id" not in receipt
        assert "agent_id" not in receipt
        assert log_size(alice) == 1
        assert not Orchestration.objects.filter(tenant=alice.tenant).exists()

    def test_it_may_have_an_agent(self, alice, account):
        receipt = receipt_behind(alice, chat(alice, X_Lucid_Agent="agent:7"))
        assert receipt["agent_id"] == row_of(receipt).agent_id == "agent:7"


class TestOrchestration:
    def test_it_counts_the_call(self, alice, account):
        run = start(alice, workflow_id="claims")
        receipt = receipt_behind(alice, chat(alice, X_Lucid_Orchestration=run))
        assert receipt["orchestration_id"] == run
        assert receipt["agent_id"] == AGENT
        assert row_of(receipt).workflow_id == "claims"
        found = get(alice, run)
        assert (found["inference_count"], found["total_tokens"]) == (1, 23)

    def test_it_goes_on_after_a_failure(self, alice):
        open_account(alice.tenant, None)
        run = start(alice)
        refusal(chat(alice, X_Lucid_Orchestration=run), 502, "PROVIDER_ERROR")
        found = get(alice, run)
        assert (found["status"], found["inference_count"]) == ("running", 1)
        assert only_run(alice).failed_count == 1

    def test_the_agent_may_be_another(self, alice, account):
        run = start(alice)
        headers = {"X_Lucid_Orchestration": run, "X_Lucid_Agent": "other"}
        assert receipt_behind(alice, chat(alice, **headers))["agent_id"] == "other"

    def test_an_outsider_s_is_not_found(self, alice, charlie, acme, account, provider):
        theirs = start(charlie)
        of_test = start(new_caller(acme, mode=Mode.TEST))
        for run in (theirs, of_test, NO_RUN):
            refusal(chat(alice, X_Lucid_Orchestration=run), 404, "NOT_FOUND")
        assert not provider.asked
        assert get(charlie, theirs)["inference_count"] == 0

    def test_nothing_is_asked_for_one_that_ended(self, alice, account, provider):
        run = start(alice)
        post(alice, run, "fail", {"code": "NO"})
        body = refusal(chat(alice, X_Lucid_Orchestration=run), 409, "NOT_RUNNING")
        assert body["status"] == "failed"
        assert not provider.asked
        assert not attempts(alice)


class TestProvider:
    def test_it_is_the_one_that_is_named(self, alice, provider):
        for name in ("openai", "custom"):
            open_account(alice.tenant, provider, name)
        for name in ("openai", "custom"):
            answer = chat(alice, X_Lucid_Provider=name)
            assert answer["X-Lucid-Provider"] == name
            assert receipt_behind(alice, answer)["provider"] == name

    def test_it_has_to_speak_the_language(self, alice, provider):
        open_account(alice.tenant, provider, "anthropic")
        answer = chat(alice, X_Lucid_Provider="anthropic")
        body = refusal(answer, 400, "INVALID_REQUEST")
        assert "this endpoint is for custom or openai" in body["message"]
        assert not provider.asked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Lucid-Agent", "a" * 201),
        ("X-Lucid-Agent", "a\x07"),
        ("X-Lucid-Orchestration", "claims"),
        ("X-Lucid-Orchestration", NO_RUN + "X"),
        ("X-Lucid-Orchestration", NO_RUN.lower()),
        ("X-Lucid-Provider", "azure"),
        ("X-Lucid-Provider", "openai"),  # no account
    ],
)
def test_a_bad_header_is_named(alice, account, provider, name, value):
    answer = chat(alice, **{name.replace("-", "_"): value})
    body = refusal(answer, 400, "INVALID_REQUEST")
    assert [field.lower() for field in body["details"]] in (
        [name.lower()],
        [name.lower().removeprefix("x-lucid-")],
    )
    assert not provider.asked


def test_a_stream_is_attached_too(alice, account, provider):
    run = start(alice)
    answer = chat(alice, QUESTION, X_Lucid_Orchestration=run)
    whole(answer)
    whole(chat_stream(alice))
    assert get(alice, run)["inference_count"] == 1
