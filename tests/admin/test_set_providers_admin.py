"""Operators set providers in the admin, which never shows a credential again."""

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrations.models import Attempt, Orchestration, ProviderCredential
from orchestrations.ulid import new_ulid
from tenants.models import Tenant
from tests.conftest import new_tenant

ADMIN = "/admin/orchestrations"
PROVIDERS = f"{ADMIN}/providercredential"
SECRET = "sk-proj-4Zq8vN2xW7mT5rJ9"
OTHER_SECRET = "key-7Hd3kP6sB1yL0cFu"
NOW = datetime.now(UTC)


def form(tenant, /, **fields):
    return {
        "tenant": tenant.pk,
        "provider": "custom",
        "credential": SECRET,
        "base_url": "http://10.0.0.7/v1",
        "allowed_hosts": "10.0.0.7\r\n\r\n fallback.local \r\n",
        "model_patterns": "qwen3-*\r\nllama-3",
        "connect_seconds": "3",
        "silence_seconds": "40",
        "total_seconds": "500",
        "retries": "0",
        "concurrency": "7",
    } | fields


def row_of(tenant):
    return ProviderCredential.objects.get(tenant=tenant)


@pytest.fixture
def row(acme):
    made = ProviderCredential(
        tenant=acme, provider="openai", model_patterns=["gpt-*", "o3"]
    )
    made.credential = SECRET
    made.save()
    return made


def kept(row, **fields):
    """What the form of a row says, as a browser sends it back."""
    return {
        "credential": "",
        "base_url": row.base_url,
        "allowed_hosts": "\r\n".join(row.allowed_hosts),
        "model_patterns": "\r\n".join(row.model_patterns),
        "connect_seconds": row.connect_seconds,
        "silence_seconds": row.silence_seconds,
        "total_seconds": row.total_seconds,
        "retries": row.retries,
        "concurrency": row.concurrency,
    } | fields


def test_a_provider_is_added(operator, acme):
    answer = operator.post(f"{PROVIDERS}/add/", form(acme, credential=f" {SECRET} "))
    assert answer.status_code == 302
    row = row_of(acme)
    assert (row.provider, row.credential) == ("custom", SECRET)
    assert row.url == "http://10.0.0.7/v1"
    assert row.allowed_hosts == ["10.0.0.7", "fallback.local"]
    assert row.model_patterns == ["qwen3-*", "llama-3"]
    assert (row.connect_seconds, row.silence_seconds, row.total_seconds) == (3, 40, 500)
    assert (row.retries, row.concurrency) == (0, 7)
    assert SECRET.encode() not in bytes(row.sealed)


def test_lists_may_be_empty(operator, acme):
    fields = {"provider": "openai", "base_url": ""}
    fields |= {"allowed_hosts": "", "model_patterns": " \r\n"}
    operator.post(f"{PROVIDERS}/add/", form(acme, **fields))
    assert (row_of(acme).allowed_hosts, row_of(acme).model_patterns) == ([], [])


def test_an_empty_credential_keeps_the_one_that_is_set(operator, row):
    sealed = bytes(row.sealed)
    path = f"{PROVIDERS}/{row.pk}/change/"
    operator.post(path, kept(row, retries="5"))
    row.refresh_from_db()
    assert (row.credential, row.retries) == (SECRET, 5)
    assert bytes(row.sealed) == sealed
    operator.post(path, kept(row, credential=OTHER_SECRET))
    row.refresh_from_db()
    assert (row.credential, row.retries) == (OTHER_SECRET, 5)
    assert row.model_patterns == ["gpt-*", "o3"]


def test_lists_are_shown_a_name_a_line(operator, row):
    page = operator.get(f"{PROVIDERS}/{row.pk}/change/").content.decode()
    assert "gpt-*\no3</textarea>" in page
    assert "One a line." in page


def test_a_provider_stays_with_its_tenant(operator, row, acme):
    data = kept(row, tenant=new_tenant("globex").pk, provider="anthropic", retries="1")
    operator.post(f"{PROVIDERS}/{row.pk}/change/", data)
    row.refresh_from_db()
    assert (row.tenant, row.provider, row.retries) == (acme, "openai", 1)


def test_a_custom_provider_may_ask_for_no_credential(operator, acme):
    operator.post(f"{PROVIDERS}/add/", form(acme, credential=""))
    assert row_of(acme).credential == ""


def errors(answer):
    """Return the complaints of a page by field; "" has those about no single one."""
    assert answer.status_code == 200
    found = answer.context["adminform"].form.errors
    return {name: " ".join(texts) for name, texts in found.items()}


NOT_ASCII = "A credential is ASCII without spaces and control characters."


@pytest.mark.parametrize(
    ("fields", "field", "complaint"),
    [
        ({"provider": "openai", "credential": ""}, "credential", "asks for a"),
        ({"provider": "bedrock", "credential": " "}, "credential", "asks for a"),
        ({"credential": f"{SECRET} {SECRET}"}, "credential", NOT_ASCII),
        ({"credential": f"{SECRET}\t{SECRET}"}, "credential", NOT_ASCII),
        ({"credential": f"{SECRET}é"}, "credential", NOT_ASCII),
        ({"credential": SECRET * 500}, "credential", "at most 10,000 characters"),
        ({"base_url": ""}, "base_url", "has no base URL of its own"),
        ({"base_url": "http://a.example"}, "base_url", "only for allowed hosts"),
        ({"allowed_hosts": ""}, "base_url", "only for allowed hosts"),
        ({"allowed_hosts": "h\n" * 21}, "allowed_hosts", "There are at most 20."),
        ({"allowed_hosts": "h" * 201}, "allowed_hosts", "Expected a list of names"),
        ({"model_patterns": "a*b"}, "model_patterns", "may stand at the end"),
        ({"model_patterns": "a\x00b"}, "model_patterns", ""),
        ({"connect_seconds": "0"}, "connect_seconds", "greater than or equal to 1"),
        ({"silence_seconds": "9999"}, "silence_seconds", "less than or equal to"),
        ({"total_seconds": ""}, "total_seconds", "required"),
        ({"retries": "99"}, "retries", "less than or equal to 5"),
        ({"concurrency": "many"}, "concurrency", "whole number"),
        ({"provider": ""}, "provider", "required"),
        ({"provider": "google"}, "provider", "not one of the available choices"),
        ({"tenant": ""}, "tenant", "required"),
    ],
)
def test_what_makes_no_sense_is_refused(operator, acme, fields, field, complaint):
    answer = operator.post(f"{PROVIDERS}/add/", form(acme, **fields))
    assert complaint in errors(answer)[field]
    assert SECRET not in answer.content.decode()
    assert not ProviderCredential.objects.filter(tenant=acme).exists()


def test_nothing_is_said_of_the_credential_of_no_provider(operator, acme):
    data = form(acme, provider="", credential="")
    answer = operator.post(f"{PROVIDERS}/add/", data)
    assert errors(answer).keys() == {"provider"}


def test_a_refused_list_is_shown_as_it_was_written(operator, row):
    data = kept(row, model_patterns='["a", "b"]', retries="99")
    answer = operator.post(f"{PROVIDERS}/{row.pk}/change/", data)
    assert "[&quot;a&quot;, &quot;b&quot;]</textarea>" in answer.content.decode()


def test_a_bad_credential_does_not_replace_a_good_one(operator, row):
    data = kept(row, credential=f"{OTHER_SECRET} x")
    answer = operator.post(f"{PROVIDERS}/{row.pk}/change/", data)
    assert errors(answer) == {"credential": NOT_ASCII}
    row.refresh_from_db()
    assert row.credential == SECRET


def test_a_tenant_has_a_provider_once(operator, row, acme):
    fields = {"provider": "openai", "base_url": "", "credential": OTHER_SECRET}
    answer = operator.post(f"{PROVIDERS}/add/", form(acme, **fields))
    assert "already exists" in errors(answer)["__all__"]
    assert row_of(acme).credential == SECRET


def secrets_of(row):
    sealed = bytes(row.sealed)
    spellings = [sealed.hex(), base64.b64encode(sealed).decode(), str(sealed)[2:-1]]
    return [SECRET, *spellings]


def test_no_page_shows_the_credential_or_what_is_stored(operator, row):
    path = f"{PROVIDERS}/{row.pk}"
    refused = kept(row, credential=SECRET, retries="99")
    data = {"action": "delete_selected", "_selected_action": [row.pk]}
    answers = [
        operator.get(f"{PROVIDERS}/"),
        operator.get(f"{PROVIDERS}/", {"q": row.tenant.slug}),
        operator.get(f"{path}/change/"),
        operator.post(f"{path}/change/", refused),
        operator.post(
            f"{path}/change/", kept(row, credential=SECRET, retries="1"), follow=True
        ),
        operator.get(f"{path}/history/"),
        operator.get(f"{path}/delete/"),
        operator.post(f"{PROVIDERS}/", data),
    ]
    stored = [*secrets_of(row), *secrets_of(row_of(row.tenant))]
    for answer in answers:
        assert answer.status_code == 200
        page = answer.content.decode()
        assert str(row.tenant) in page
        assert [it for it in stored if it in page] == []


def test_the_list_says_where_calls_go(operator, row, acme):
    page = operator.get(f"{PROVIDERS}/", {"q": acme.slug}).content.decode()
    for text in (">Openai<", ">https://api.openai.com/v1<", ">gpt-*, o3<"):
        assert text in page


def test_a_long_list_takes_no_more_queries(operator, row, acme):
    def count():
        with CaptureQueriesContext(connection) as queries:
            operator.get(f"{PROVIDERS}/", {"q": acme.slug})
        return len(queries)

    before = count()
    for provider in ("anthropic", "bedrock"):
        more = ProviderCredential(tenant=acme, provider=provider)
        more.credential = OTHER_SECRET
        more.save()
    assert count() == before


def version(tenant):
    return Tenant.objects.get(pk=tenant.pk).keyring_version


def test_every_worker_hears_of_it(operator, acme):
    versions = [version(acme)]
    operator.post(f"{PROVIDERS}/add/", form(acme))
    versions.append(version(acme))
    row = row_of(acme)
    operator.post(f"{PROVIDERS}/{row.pk}/change/", kept(row, retries="1"))
    versions.append(version(acme))
    operator.post(f"{PROVIDERS}/{row.pk}/delete/", {"post": "yes"})
    versions.append(version(acme))
    assert versions == sorted(set(versions))
    assert not ProviderCredential.objects.filter(tenant=acme).exists()


def test_every_worker_hears_when_many_are_deleted(operator, row, acme):
    other = ProviderCredential(tenant=new_tenant("globex"), provider="anthropic")
    other.credential = OTHER_SECRET
    other.save()
    before = version(acme), version(other.tenant)
    selected = [row.pk, other.pk]
    data = {"action": "delete_selected", "_selected_action": selected, "post": "yes"}
    operator.post(f"{PROVIDERS}/", data)
    assert not ProviderCredential.objects.filter(pk__in=selected).exists()
    assert version(acme) > before[0]
    assert version(other.tenant) > before[1]


@pytest.fixture
def attempt(acme):
    run = Orchestration.objects.create(
        id=f"maip-orch:{new_ulid()}",
        tenant=acme,
        mode="live",
        agent_id="agent",
        max_steps=10,
        timeout_seconds=300,
        started_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )
    return Attempt.objects.create(
        receipt_id=uuid.uuid4(),
        tenant=acme,
        mode="live",
        orchestration_id=run.pk,
        provider="custom",
        model="model-under-way",
        started_at=NOW,
        input_hash="00" * 32,
        worker_id=uuid.uuid4(),
        deadline=NOW + timedelta(minutes=20),
    )


def test_calls_under_way_are_looked_at_and_not_changed(operator, attempt):
    path = f"{ADMIN}/attempt"
    assert operator.get(f"{path}/{attempt.pk}/change/").status_code == 200
    assert operator.post(f"{path}/add/").status_code == 403
    for verb in ("change", "delete"):
        answer = operator.post(f"{path}/{attempt.pk}/{verb}/", {"post": "yes"})
        assert answer.status_code == 403


def test_calls_under_way_are_found_by_id_and_run(operator, attempt):
    for sought in (attempt.pk, attempt.orchestration_id):
        page = operator.get(f"{ADMIN}/attempt/", {"q": sought}).content.decode()
        assert "model-under-way" in page
    page = operator.get(f"{ADMIN}/attempt/", {"q": uuid.uuid4()}).content.decode()
    assert "model-under-way" not in page


def test_salts_are_in_no_admin(operator):
    assert operator.get(f"{ADMIN}/contentsalts/").status_code == 404
