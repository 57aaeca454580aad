"""Accounts that change while workers remember the earlier ones."""

import pytest

from orchestrations.gateway.view import GatewayView
from orchestrations.models import ProviderCredential
from tests.orchestrations.calling import ASKED, attempts, chat, infer, refusal
from tests.orchestrations.provider import Provider, open_account

CALLS = pytest.mark.parametrize("call", [chat, infer])


@CALLS
def test_an_account_that_was_just_opened_takes_the_call(alice, provider, call):
    assert call(alice).status_code == 400
    open_account(alice.tenant, provider)
    assert call(alice).status_code == 200


@CALLS
def test_a_call_goes_to_where_the_account_is_now(alice, provider, call):
    account = open_account(alice.tenant, provider)
    assert call(alice).status_code == 200
    with Provider().serving() as other:
        account.base_url = other.url
        account.credential = "sk-another"
        account.save()
        assert call(alice).status_code == 200
        (asked,) = other.asked
    assert asked.headers["authorization"] == "Bearer sk-another"
    assert len(provider.asked) == 1


@CALLS
def test_an_account_that_was_just_removed_gets_no_call(alice, provider, call):
    account = open_account(alice.tenant, provider)
    assert call(alice).status_code == 200
    account.delete()
    refusal(call(alice), 400, "INVALID_REQUEST")
    assert len(provider.asked) == 1
    assert not attempts(alice)


def test_accounts_that_never_come_to_rest_are_unavailable(alice, provider, monkeypatch):
    account = open_account(alice.tenant, provider)
    choose = GatewayView.account

    def disturbed(*arguments):
        chosen = choose(*arguments)
        ProviderCredential.objects.get(pk=account.pk).save()
        return chosen

    monkeypatch.setattr(GatewayView, "account", disturbed)
    refusal(infer(alice, ASKED), 503, "UNAVAILABLE")
    assert not provider.asked
