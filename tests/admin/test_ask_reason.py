"""What is not taken back easily asks for a reason, which stays on record."""

import uuid

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from tenants.models import AccessEvent, User
from tests.conftest import new_caller, new_tenant

TENANTS = "/admin/tenants/tenant/"
KEYS = "/admin/tenants/apikey/"
REASON = "as their contract ended"


def ask(operator, path, action, *rows, **fields):
    data = {"action": action, "_selected_action": [row.pk for row in rows], **fields}
    return operator.post(path, data)


@pytest.mark.parametrize(
    ("action", "button"), [("suspend", "Suspend tenants"), ("resume", "Resume tenants")]
)
def test_the_page_names_the_rows_and_does_nothing_yet(operator, alice, action, button):
    page = ask(operator, TENANTS, action, alice.tenant)
    assert page.status_code == 200
    text = page.content.decode()
    assert f"<li>{alice.tenant.slug}</li>" in text
    assert f'value="{button}"' in text
    assert alice.get("/v1/mmr/root").status_code == 200
    assert not AccessEvent.objects.filter(tenant=alice.tenant).exists()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_without_a_reason_nothing_is_done(operator, alice, reason):
    page = ask(operator, TENANTS, "suspend", alice.tenant, reason=reason)
    assert "errorlist" in page.content.decode()
    assert alice.get("/v1/mmr/root").status_code == 200


def test_a_tenant_is_suspended_and_resumed(operator, alice):
    alice.record()
    for action, status in (("suspend", 403), ("resume", 200)):
        ask(operator, TENANTS, action, alice.tenant, reason=REASON)
        assert alice.get("/v1/mmr/root").status_code == status


def test_the_reason_is_on_record(operator, alice):
    ask(operator, TENANTS, "suspend", alice.tenant, reason=f" {REASON} ")
    [event] = AccessEvent.objects.filter(tenant=alice.tenant)
    assert (event.action, event.reason) == ("tenant.suspended", REASON)
    assert (event.before, event.after) == (
        {"status": "active"},
        {"status": "suspended"},
    )
    assert event.actor_kind == "person"
    history = operator.get(f"{TENANTS}{alice.tenant.pk}/history/").content.decode()
    assert f"Suspended: {REASON}" in history


def test_a_key_is_revoked(operator, alice):
    page = ask(operator, KEYS, "revoke", alice.key)
    assert alice.key.prefix in page.content.decode()
    ask(operator, KEYS, "revoke", alice.key, reason=REASON)
    assert alice.get("/v1/mmr/root").json()["code"] == "KEY_REVOKED"
    [event] = AccessEvent.objects.filter(tenant=alice.tenant)
    assert (event.action, event.object_id) == ("api_key.revoked", alice.key.prefix)
    assert (event.reason, event.after) == (REASON, {"state": "revoked"})


def test_several_are_done_at_once(operator, acme):
    callers = [new_caller(acme) for _ in range(3)]
    ask(operator, KEYS, "revoke", *(it.key for it in callers), reason=REASON)
    for caller in callers:
        assert caller.get("/v1/mmr/root").json()["code"] == "KEY_REVOKED"
    assert AccessEvent.objects.filter(tenant=acme).count() == 3


def test_no_more_than_a_page_at_once(operator, acme):
    tenants = [new_tenant("many") for _ in range(101)]
    page = ask(operator, TENANTS, "suspend", *tenants, follow="")
    assert page.status_code == 302
    shown = operator.get(TENANTS, {"q": "many"}).content.decode()
    assert "Choose 100 at most." in shown


@pytest.fixture
def onlooker(database):
    """Staff who may look at keys and tenants, and no more."""
    user = User.objects.create(
        email=f"{uuid.uuid4()}@example.com", is_staff=True, password="!"
    )
    names = ["view_apikey", "view_tenant"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(("path", "action"), [(KEYS, "revoke"), (TENANTS, "suspend")])
def test_whoever_may_only_look_cannot_act(onlooker, alice, path, action):
    page = onlooker.get(path)
    assert page.status_code == 200
    assert f'value="{action}"' not in page.content.decode()
    row = alice.key if path == KEYS else alice.tenant
    ask(onlooker, path, action, row, reason=REASON)
    assert alice.get("/v1/mmr/root").status_code == 200
