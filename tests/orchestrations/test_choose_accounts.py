"""Which of a tenant's accounts a call goes to, and how long that is remembered."""

import gc
import threading

import pytest

from orchestrations.gateway import accounts
from orchestrations.gateway.accounts import Account, accounts_of
from orchestrations.gateway.upstream import Patience, Request, Upstream
from orchestrations.models import ProviderCredential
from tenants.models import Tenant
from tests.orchestrations.calling import (
    MESSAGES_PATH,
    chat,
    chat_stream,
    infer,
    inferred,
    refusal,
    whole,
)
from tests.orchestrations.provider import (
    CHAT,
    QUESTION,
    SECRET,
    Provider,
    Scripted,
    open_account,
    stream,
    streamed,
)
from tests.orchestrations.runs import CALL, record, start


def accounts_now(tenant):
    return accounts_of(tenant.pk, Tenant.objects.get(pk=tenant.pk).keyring_version)


def choice(tenant, model, provider=None, able=("openai", "anthropic", "custom")):
    return accounts_now(tenant).choose(model, provider, able).provider


def open_all(tenant, **patterns):
    names = {"openai": [], "anthropic": [], "bedrock": [], "custom": []} | patterns
    for name, models in names.items():
        url = "https://localhost/v1" if name in {"bedrock", "custom"} else ""
        options = {"base_url": url, "allowed_hosts": ["localhost"]}
        open_account(tenant, None, name, model_patterns=models, **options)


class TestTheChoice:
    @pytest.mark.parametrize(
        ("model", "provider"),
        [
            ("gpt-4o", "openai"),
            ("chatgpt-4o-latest", "openai"),
            ("o3-mini", "openai"),
            ("claude-sonnet-4-5", "anthropic"),
            ("anthropic.claude-v2", "bedrock"),
            ("eu.amazon.nova-pro-v1:0", "bedrock"),
            ("tiny-1", "custom"),
            ("ollama", "custom"),
            ("my-gpt-4o", "custom"),
        ],
    )
    def test_without_rules_goes_by_the_name(self, acme, model, provider):
        open_all(acme)
        able = ("openai", "anthropic", "custom", "bedrock")
        assert choice(acme, model, able=able) == provider

    def test_goes_by_the_tenant_s_rules_first(self, acme):
        open_all(acme, custom=["gpt-*", "tiny-1"], openai=["gpt-4*"])
        assert choice(acme, "gpt-4o") == "openai"
        assert choice(acme, "gpt-5") == "custom"
        assert choice(acme, "tiny-1") == "custom"

    def test_a_name_goes_before_a_pattern(self, acme):
        open_all(acme, custom=["gpt-4o"], openai=["gpt-4o*"])
        assert choice(acme, "gpt-4o") == "custom"
        assert choice(acme, "gpt-4o-mini") == "openai"

    def test_any_rule_goes_before_the_name(self, acme):
        open_all(acme, custom=["*"])
        assert choice(acme, "gpt-4o") == "custom"

    def test_who_has_rules_takes_nothing_else(self, acme):
        open_account(acme, None, model_patterns=["tiny-1", "small-*"])
        assert choice(acme, "small-") == "custom"
        for model in ("tiny-12", "tiny", "Tiny-1", "a-small-"):
            with pytest.raises(Exception, match="No provider of this tenant"):
                choice(acme, model)

    def test_is_the_caller_s_if_he_names_one(self, acme):
        open_all(acme)
        assert choice(acme, "gpt-4o", "custom") == "custom"

    def test_a_named_one_keeps_to_its_rules(self, acme):
        open_all(acme, custom=["tiny-1"])
        with pytest.raises(Exception, match="No provider of this tenant"):
            choice(acme, "gpt-4o", "custom")

    def test_is_among_those_who_speak_the_language(self, acme):
        open_all(acme, anthropic=["smart"], custom=["smart*"])
        assert choice(acme, "smart", able=("openai", "custom")) == "custom"
        with pytest.raises(Exception, match="is taken by anthropic"):
            choice(acme, "smart", "anthropic", able=("openai", "custom"))


class TestRefusals:
    def test_without_an_account(self, alice, provider):
        body = refusal(infer(alice), 400, "INVALID_REQUEST")
        assert body["details"].keys() == {"model"}

    def test_with_an_account_elsewhere(self, alice, charlie, acme, provider):
        open_account(charlie.tenant, provider)
        refusal(chat(alice), 400, "INVALID_REQUEST")
        assert not provider.asked

    def test_with_another_provider(self, alice, acme, provider):
        open_account(acme, provider)
        answer = chat(alice, X_Lucid_Provider="openai")
        body = refusal(answer, 400, "INVALID_REQUEST")
        assert body["details"] == {
            "provider": ["This tenant has no account with openai."]
        }

    def test_of_what_the_endpoint_cannot_say(self, alice, acme, provider):
        open_account(acme, provider, "openai")
        answer = alice.post(MESSAGES_PATH, QUESTION)
        assert "taken by openai" in refusal(answer, 400, "INVALID_REQUEST")["message"]


class TestWhatIsRemembered:
    def test_accounts_are_read_once(self, acme, provider, django_assert_num_queries):
        open_account(acme, provider)
        version = Tenant.objects.get(pk=acme.pk).keyring_version
        first = accounts_of(acme.pk, version)
        with django_assert_num_queries(0):
            assert accounts_of(acme.pk, version) is first

    def test_memory_is_bounded(self, acme, charlie, provider, monkeypatch):
        monkeypatch.setattr(accounts, "MEMORY_LIMIT", 1)
        accounts._memory.clear()
        accounts_now(acme)
        accounts_now(charlie.tenant)
        assert list(accounts._memory) == [charlie.tenant.pk]

    def test_what_the_change_is_of_another_kind_changes_nothing(
        self, alice, acme, provider
    ):
        open_account(acme, provider)
        inferred(alice)
        acme.forget_keys()
        assert infer(alice).status_code == 200
        record(alice, start(alice), **CALL)
        assert len(provider.asked) == 2


class TestConnections:
    def test_without_tls_are_of_one_call_each(self, alice, acme, provider):
        # A model server nearby closes idle ones as it likes, also while it is asked.
        open_account(acme, provider)
        peers = note_peers(provider)
        for _ in range(3):
            infer(alice)
        assert len(set(peers)) == 3

    def test_with_tls_are_kept_for_the_next_call(self, provider):
        peers = note_peers(provider)
        upstream = as_with_tls()
        for _ in range(3):
            ask(upstream, provider)
        assert len(peers) == 3
        assert len(set(peers)) == 1

    def test_are_kept_when_another_account_changes(self, acme, provider):
        open_account(acme, provider)
        other = open_account(acme, provider, "openai")
        before = by_name(acme)
        other.retries = 1
        other.save()
        after = by_name(acme)
        assert after["custom"] is before["custom"]
        assert after["openai"] is not before["openai"]
        assert after["openai"].retries == 1

    def test_are_closed_with_the_account(self, provider):
        upstream = as_with_tls()
        ask(upstream, provider)
        pool = upstream._pool
        assert len(pool.connections) == 1
        del upstream
        gc.collect()
        assert not pool.connections

    def test_outlast_the_account_for_a_call_under_way(self, alice, acme, provider):
        account = open_account(acme, provider)
        goes_on = threading.Event()
        provider.answers(streamed(stream("It "), act=lambda n: n and goes_on.wait(5)))
        answer = chat_stream(alice)
        first = next(answer.streaming_content)
        account.delete()
        refusal(infer(alice), 400, "INVALID_REQUEST")
        goes_on.set()
        assert first + whole(answer) == b"".join(stream("It ", usage=None))


def as_with_tls() -> Upstream:
    """Return one that takes its connections for such as are worth keeping."""
    return Upstream(frozenset({"127.0.0.1"}), Patience(5, 5, 5), 5, is_tls=True)


def ask(upstream: Upstream, provider: Provider) -> None:
    with upstream.send(Request(f"{provider.url}/chat/completions", [], b"{}")) as got:
        assert b"".join(got)


def by_name(tenant) -> dict[str, Account]:
    return {it.provider: it for it in accounts_now(tenant).accounts.values()}


def note_peers(provider):
    """Have the provider note from which ports it is asked."""
    handler, peers = provider._server.RequestHandlerClass, []
    take = handler.do_POST

    def noting(self):
        peers.append(self.client_address)
        take(self)

    handler.do_POST = noting
    return peers


def test_a_credential_is_shown_by_nothing(acme, provider):
    open_account(acme, provider)
    row = ProviderCredential.objects.get(tenant=acme)
    account = by_name(acme)["custom"]
    for shown in (repr(account), str(account), repr(row), str(row), str(row.__dict__)):
        assert SECRET not in shown
    assert account.without_credential(f"a {SECRET} b") == "a [removed] b"


def test_where_there_is_no_credential_none_is_sent(alice, acme, provider):
    account = open_account(acme, provider)
    account.credential = ""
    account.save()
    provider.answers(Scripted({"error": "no"}, status=401), CHAT)
    assert chat(alice).json() == {"error": "no"}
    assert "authorization" not in provider.asked[0].headers
