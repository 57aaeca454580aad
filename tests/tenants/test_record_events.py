"""Access events are written once, and for good."""

import pytest
from django.db import DatabaseError, transaction
from django.test import RequestFactory

from lucid.api.addresses import client_address
from tenants import events
from tenants.models import AccessEvent


@pytest.fixture
def event(acme):
    actor = events.command_line()
    return events.record(
        actor,
        "api_key.revoked",
        tenant_id=acme.pk,
        kind="api_key",
        object_id="lk_live_0123456789",
        before={"state": "active"},
        after={"state": "revoked"},
        reason="Lost.",
    )


def test_it_says_who_did_what(event, acme):
    stored = AccessEvent.objects.get(pk=event.pk)
    assert stored.tenant == acme
    assert stored.actor_kind == "command"
    assert (stored.action, stored.object_id) == (
        "api_key.revoked",
        "lk_live_0123456789",
    )
    assert (stored.before, stored.after) == ({"state": "active"}, {"state": "revoked"})
    assert stored.reason == "Lost."


def test_nobody_changes_it(event):
    with pytest.raises(DatabaseError), transaction.atomic():
        AccessEvent.objects.filter(pk=event.pk).update(action="nothing")
    with pytest.raises(DatabaseError), transaction.atomic():
        AccessEvent.objects.filter(pk=event.pk).delete()
    assert AccessEvent.objects.get(pk=event.pk).action == "api_key.revoked"


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a client's own invention
        ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.2", "192.0.2.66, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("10.0.0.2", "nonsense", "10.0.0.2"),
        ("10.0.0.2", None, "10.0.0.2"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("", "198.51.100.1", None),
    ],
)
def test_only_our_proxies_say_who_asks(settings, remote, forwarded, expected):
    settings.LUCID_TRUSTED_PROXIES = ["10.0.0.0/8", "::1"]
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    assert client_address(request) == expected
