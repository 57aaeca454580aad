"""Calls that were begun, for all we know, and not made: nothing is left of them."""

import pytest

from orchestrations.gateway import settling, view
from orchestrations.gateway.destinations import ForbiddenAddress
from orchestrations.models import Orchestration
from receipts.ledger import LedgerUnavailable, append
from tests.orchestrations.calling import CHAT_PATH, attempts, chat, infer, refusal
from tests.orchestrations.provider import open_account
from tests.receipts.auditor import log_size

CALLS = pytest.mark.parametrize("call", [chat, infer])


@pytest.fixture
def unsure(monkeypatch):
    """The ledger keeps what it is given, and then cannot say so."""

    def kept(submission):
        append(submission)
        raise LedgerUnavailable

    monkeypatch.setattr(view, "begin_unlocked", kept)


@CALLS
def test_a_beginning_that_may_be_durable_is_taken_back(
    alice, provider, worker, unsure, call
):
    open_account(alice.tenant, provider)
    refusal(call(alice), 503, "UNAVAILABLE")
    assert len(attempts(alice)) == 1
    worker.withdraw_not_made()
    assert not attempts(alice)
    assert not provider.asked


def test_the_run_that_was_begun_with_it_has_failed(alice, provider, worker, unsure):
    open_account(alice.tenant, provider)
    infer(alice)
    worker.withdraw_not_made()
    run = Orchestration.objects.get(tenant=alice.tenant)
    assert (run.status, run.inference_count) == ("failed", 0)
    assert run.ending
    assert run.ending["error"]["code"] == "NOT_CALLED"


def test_one_that_was_not_begun_is_nothing_to_take_back(
    alice, provider, worker, monkeypatch
):
    def lost(submission):
        raise LedgerUnavailable

    open_account(alice.tenant, provider)
    monkeypatch.setattr(view, "begin_unlocked", lost)
    refusal(infer(alice), 503, "UNAVAILABLE")
    worker.withdraw_not_made()
    assert not Orchestration.objects.filter(tenant=alice.tenant).exists()


def test_what_cannot_be_taken_back_now_is_taken_back_later(
    alice, provider, worker, monkeypatch
):
    account = open_account(alice.tenant, provider)

    def forbidden(*arguments, **options):
        raise ForbiddenAddress("not there")

    monkeypatch.setattr(
        "orchestrations.gateway.upstream.httpcore2.ConnectionPool.handle_request",
        forbidden,
    )
    monkeypatch.setattr(settling, "append", _lost)
    assert alice.post(CHAT_PATH, {"model": account.provider}).status_code == 502
    assert len(attempts(alice)) == 1
    with pytest.raises(LedgerUnavailable):
        worker.withdraw_not_made()
    monkeypatch.setattr(settling, "append", append)
    worker.withdraw_not_made()
    assert not attempts(alice)
    assert log_size(alice) == 0


def _lost(submission):
    raise LedgerUnavailable
