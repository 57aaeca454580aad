"""`manage.py change_tenant`: a tenant's name and limit, from a shell."""

from tenants.models import Tenant
from tests.tenants.people import events_of


def test_what_is_not_given_stays(acme, lines):
    told = lines("change_tenant", acme.slug, "--requests-per-minute", "60")
    assert told == [f"{acme.slug}: acme, 60 requests a minute."]
    lines("change_tenant", acme.slug, "--name", "Acme & Söhne")
    row = Tenant.objects.get(pk=acme.pk)
    assert (row.name, row.requests_per_minute) == ("Acme & Söhne", 60)
    told = lines("change_tenant", acme.slug, "--no-limit")
    assert told == [f"{acme.slug}: Acme & Söhne, without a limit."]


def test_workers_look_again_and_an_event_says_so(acme, as_json):
    found = as_json("change_tenant", acme.slug, "--requests-per-minute", "5")
    assert found == {
        "tenant": acme.slug,
        "name": "acme",
        "requests_per_minute": 5,
        "changed": True,
    }
    version = Tenant.objects.get(pk=acme.pk).keyring_version
    assert version > acme.keyring_version
    (event,) = events_of(acme)
    assert (event.action, event.actor_kind) == ("tenant.changed", "command")
    assert event.after == {"requests_per_minute": 5}


def test_nothing_new_is_no_event(acme, as_json):
    assert not as_json("change_tenant", acme.slug, "--name", "acme")["changed"]
    assert events_of(acme) == []


def test_what_cannot_be_is_refused(acme, failure):
    assert "--requests-per-minute" in failure(
        "change_tenant", acme.slug, "--requests-per-minute", "0", code=2
    )
    assert "There is no tenant" in failure("change_tenant", "nobody")
