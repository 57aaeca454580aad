"""What an operator sees and changes in the admin is an access event."""

from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from orchestrations.models import Budget, Price, ProviderCredential
from tenants.audited_admin import AuditedAdmin
from tenants.models import AccessEvent, ApiKey, Membership, User
from tenants.row_states import CHANGED, HIDDEN
from tests.conftest import new_caller
from tests.tenants.people import after, before, new_member, new_user


@pytest.fixture
def email(operator) -> str:
    return User.objects.get(pk=operator.session["_auth_user_id"]).email


def done_by(email: str) -> list[AccessEvent]:
    """What an operator did but log in, in its order."""
    rows = AccessEvent.objects.filter(actor_name=email).exclude(action__contains="log")
    return list(rows.order_by("id"))


def _admin(model: type[Model]) -> AuditedAdmin:
    registered = site._registry[model]
    assert isinstance(registered, AuditedAdmin)
    return registered


def last(email: str) -> AccessEvent:
    return done_by(email)[-1]


def told(event: AccessEvent) -> tuple[str, str, str, Any, Any]:
    return (
        event.action,
        event.object_kind,
        event.object_id,
        event.before,
        event.after,
    )


WHY = {"reason": "Their contract has ended."}
PRICE = {
    "provider": "openai",
    "model": "gpt-4o",
    "valid_from_0": "2026-11-01",
    "valid_from_1": "00:00:00",
    "factor": "0.85",
}
PROVIDER = {
    "provider": "custom",
    "base_url": "https://models.example/v1",
    "credential": "sk-very-secret-1",
    "model_patterns": "",
    "allowed_hosts": "",
    "connect_seconds": "10",
    "silence_seconds": "300",
    "total_seconds": "900",
    "retries": "2",
    "concurrency": "100",
}


# Runs of tick say nothing of anybody.
MODELS = [model for model in site._registry if model._meta.label != "api.TickRun"]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
class TestEveryModel:
    def test_its_admin_tells(self, model):
        assert _admin(model)

    def test_its_list_is_told_of_without_what_was_searched_for(
        self, operator, email, model
    ):
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        operator.get(path, {"q": "very private"})
        (event,) = done_by(email)
        assert (event.action, event.tenant_id) == ("admin.viewed", None)
        assert event.object_kind == _admin(model).object_kind
        fields = AccessEvent._meta.concrete_fields
        assert not any("private" in str(getattr(event, f.attname)) for f in fields)


class TestViews:
    def test_a_row_is_told_of_to_its_tenant(self, operator, email, acme):
        operator.get(f"/admin/tenants/tenant/{acme.pk}/change/")
        event = last(email)
        assert told(event)[:3] == ("admin.viewed", "tenant", acme.slug)
        assert event.tenant_id == acme.pk
        assert event.address == "127.0.0.1"

    def test_a_receipt_is_read(self, operator, email, alice):
        receipt_id = alice.record()["receipt_id"]
        operator.get(f"/admin/receipts/receipt/{receipt_id}/change/")
        event = last(email)
        assert told(event)[:3] == ("receipt.read", "receipt", receipt_id)
        assert event.tenant_id == alice.tenant.pk

    def test_what_is_not_there_was_not_seen(self, operator, email, acme):
        operator.get("/admin/tenants/tenant/nothing/change/")
        assert done_by(email) == []

    def test_nothing_is_shown_that_cannot_be_told_of(self, operator, acme, monkeypatch):
        def refuse(*args, **options):
            raise OSError("full")

        operator.raise_request_exception = False
        monkeypatch.setattr(AccessEvent, "save", refuse)
        answer = operator.get("/admin/tenants/tenant/")
        assert answer.status_code == 500
        assert acme.slug not in answer.content.decode()


class TestChanges:
    def test_a_tenant(self, operator, email, acme):
        path = f"/admin/tenants/tenant/{acme.pk}/change/"
        operator.post(path, {"slug": acme.slug, "name": "New", "settings": "{}"})
        expected = ("tenant.changed", "tenant", acme.slug, {"name": "acme"})
        assert told(last(email)) == (*expected, {"name": "New"})

    def test_a_tenants_state(self, operator, email, acme):
        for action, was, now in (
            ("suspend", "active", "suspended"),
            ("resume", "suspended", "active"),
        ):
            data = {"action": action, "_selected_action": [acme.pk]} | WHY
            operator.post("/admin/tenants/tenant/", data)
            event = last(email)
            assert event.action == f"tenant.{action}{'ed' if action[0] == 's' else 'd'}"
            assert (event.before, event.after) == (
                {"status": was},
                {"status": now},
            )
            assert (event.tenant_id, event.reason) == (acme.pk, WHY["reason"])

    def test_a_new_key_without_its_secret(self, operator, email, acme):
        data = {"tenant": acme.pk, "name": "ci", "mode": "live", "scopes": ["*"]}
        operator.post(
            "/admin/tenants/apikey/add/",
            data | {"expires_at_0": "", "expires_at_1": ""},
        )
        key = ApiKey.objects.get(tenant=acme)
        event = last(email)
        assert told(event)[:4] == ("api_key.created", "api_key", key.prefix, None)
        assert after(event)["mac"] == HIDDEN
        assert after(event)["scopes"] == ["*"]
        assert bytes(key.mac).hex() not in str(event.after)

    def test_the_end_of_a_key(self, operator, email, alice):
        data = {"action": "revoke", "_selected_action": [alice.key.pk]} | WHY
        operator.post("/admin/tenants/apikey/", data)
        assert told(last(email)) == (
            "api_key.revoked",
            "api_key",
            alice.key.prefix,
            {"state": "active"},
            {"state": "revoked"},
        )

    def test_a_price(self, operator, email, acme):
        operator.post("/admin/orchestrations/price/add/", PRICE | {"tenant": acme.pk})
        price = Price.objects.get(tenant=acme)
        event = last(email)
        assert told(event)[:3] == ("price.created", "price", "openai gpt-4o")
        assert after(event)["factor"] == "0.85"
        path = f"/admin/orchestrations/price/{price.pk}"
        operator.post(f"{path}/change/", PRICE | {"factor": "0.5"})
        expected = {"factor": "0.85"}, {"factor": "0.5"}
        assert told(last(email))[3:] == expected
        operator.post(f"{path}/delete/", {"post": "yes"})
        event = last(email)
        assert (event.action, event.after) == ("price.removed", None)
        assert before(event)["model"] == "gpt-4o"

    def test_a_budget(self, operator, email, acme):
        data = {"tenant": acme.pk, "mode": "live", "limit": "500"}
        operator.post("/admin/orchestrations/budget/add/", data)
        assert Budget.objects.get(tenant=acme)
        event = last(email)
        assert told(event)[:3] == ("budget.created", "budget", "live")
        assert event.tenant_id == acme.pk

    def test_a_provider_without_its_credential(self, operator, email, acme):
        add = "/admin/orchestrations/providercredential/add/"
        operator.post(add, PROVIDER | {"tenant": acme.pk})
        row = ProviderCredential.objects.get(tenant=acme)
        created = last(email)
        assert told(created)[:3] == ("provider.created", "provider", "custom")
        assert after(created)["sealed"] == HIDDEN
        path = f"/admin/orchestrations/providercredential/{row.pk}/change/"
        operator.post(path, PROVIDER | {"credential": "sk-very-secret-2"})
        changed = last(email)
        assert (changed.before, changed.after) == (
            {"sealed": HIDDEN},
            {"sealed": CHANGED},
        )
        assert "very-secret" not in str([created.after, changed.before, changed.after])

    def test_a_users_password(self, operator, email):
        user = new_user()
        path = f"/admin/tenants/user/{user.pk}/password/"
        word = "a better horse, with a battery"
        operator.post(path, {"password1": word, "password2": word})
        assert told(last(email)) == (
            "user.changed",
            "user",
            user.email,
            {"password": HIDDEN},
            {"password": CHANGED},
        )

    def test_many_at_once_are_told_of_one_by_one(self, operator, email, acme):
        keys = [new_caller(acme).key.pk for _ in range(3)]
        data = {"action": "revoke", "_selected_action": keys} | WHY
        operator.post("/admin/tenants/apikey/", data)
        assert [e.action for e in done_by(email)] == ["api_key.revoked"] * 3

    def test_what_cannot_be_told_of_is_not_done(self, operator, alice, monkeypatch):
        def refuse(*args, **options):
            raise OSError("full")

        operator.raise_request_exception = False
        with monkeypatch.context() as patched:
            patched.setattr(AccessEvent, "save", refuse)
            data = {"action": "revoke", "_selected_action": [alice.key.pk]} | WHY
            assert operator.post("/admin/tenants/apikey/", data).status_code == 500
        assert alice.get("/v1/mmr/root").status_code == 200


class TestMembers:
    PATH = "/admin/tenants/membership/"

    def test_they_are_added_changed_and_removed(self, operator, email, acme):
        new_member(acme, "admin")
        user = new_user()
        data = {"tenant": acme.pk, "user": user.pk, "role": "analyst"}
        operator.post(f"{self.PATH}add/", data)
        row = Membership.objects.get(user=user)
        operator.post(f"{self.PATH}{row.pk}/change/", {"role": "auditor"})
        operator.post(f"{self.PATH}{row.pk}/delete/", {"post": "yes"})
        assert [told(event) for event in done_by(email)] == [
            ("member.added", "member", user.email, None, {"role": "analyst"}),
            (
                "member.changed",
                "member",
                user.email,
                {"role": "analyst"},
                {"role": "auditor"},
            ),
            ("member.removed", "member", user.email, {"role": "auditor"}, None),
        ]
        assert not Membership.objects.filter(user=user).exists()

    def test_the_last_admin_stays(self, operator, acme):
        row = new_member(acme, "admin").user.memberships.get()
        attempts: list[tuple[str, dict[str, Any]]] = [
            (f"{row.pk}/change/", {"role": "analyst"}),
            (f"{row.pk}/delete/", {"post": "yes"}),
            (
                "",
                {
                    "action": "delete_selected",
                    "_selected_action": [row.pk],
                    "post": "yes",
                },
            ),
        ]
        for path, data in attempts:
            answer = operator.post(self.PATH + path, data, follow=True)
            assert "is the last admin" in answer.content.decode()
        row.refresh_from_db()
        assert row.role == "admin"

    def test_somebody_is_a_member_once(self, operator, acme):
        user = new_member(acme, "admin").user
        data = {"tenant": acme.pk, "user": user.pk, "role": "analyst"}
        answer = operator.post(f"{self.PATH}add/", data)
        assert "This person is a member already" in answer.content.decode()


class TestAccessEvents:
    PATH = "/admin/tenants/accessevent/"

    @pytest.fixture
    def event(self, operator, acme) -> AccessEvent:
        operator.get(f"/admin/tenants/tenant/{acme.pk}/change/")
        return AccessEvent.objects.filter(tenant=acme).get()

    @pytest.mark.parametrize("verb", ["change", "delete"])
    def test_a_superuser_changes_none(self, operator, event, verb):
        path = f"{self.PATH}{event.pk}/{verb}/"
        assert operator.post(path, {"post": "yes"}).status_code == 403
        assert operator.post(f"{self.PATH}add/").status_code == 403
        assert AccessEvent.objects.get(pk=event.pk).action == "admin.viewed"

    def test_it_is_found_by_tenant_actor_and_id(self, operator, email, event, acme):
        for term in (acme.slug, email, str(event.pk)):
            page = operator.get(self.PATH, {"q": term}).content.decode()
            assert f"{self.PATH}{event.pk}/change/" in page
        for term in ("nobody", str(acme.pk)):
            page = operator.get(self.PATH, {"q": term}).content.decode()
            assert f"{self.PATH}{event.pk}/change/" not in page

    def test_nothing_counts_the_table(self, operator, event):
        for query in ({}, {"actor_kind__exact": "person"}, {"q": "x"}):
            with CaptureQueriesContext(connection) as queries:
                operator.get(self.PATH, query)
            counts = [q["sql"] for q in queries if "COUNT(" in q["sql"]]
            assert all("LIMIT 10000" in sql for sql in counts)
