"""The pages of a tenant's members, for its admins."""

import threading
from typing import Any

import pytest
from django.db import connection

from lucid.isolation import working_for
from tenants import events, members
from tenants.members import NotPossible
from tenants.models import Membership
from tests.tenants.people import Person, events_of, new_member, new_user


def page(person: Person, tail: str = "") -> str:
    (membership,) = person.user.memberships.all()
    return f"/t/{membership.tenant.slug}/members{tail}"


def of(person: Person) -> str:
    """The page of one member, behind that of all."""
    return f"/{person.user.memberships.get().pk}"


def roles(tenant: Any) -> dict[str, str]:
    rows = Membership.objects.filter(tenant=tenant)
    return {row.user.email: row.role for row in rows}


class TestAdd:
    def test_somebody_with_an_account_becomes_a_member(self, acme, admin):
        user = new_user()
        data = {"email": user.email.upper(), "role": "analyst"}
        answer = admin.post(page(admin), data)
        assert answer["Location"] == page(admin)
        assert roles(acme)[user.email] == "analyst"
        assert "is a member now, as analyst" in admin.get(page(admin)).content.decode()
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == ("member.added", user.email)
        assert (event.actor_name, event.after) == (
            admin.user.email,
            {"role": "analyst"},
        )

    @pytest.mark.parametrize(
        ("email", "role", "complaint"),
        [
            ("nobody@example.com", "analyst", "There is no account with this address"),
            ("{auditor}", "analyst", "is a member already"),
            ("{new}", "owner", "Select a valid choice"),
            ("no address", "analyst", "Enter a valid email address"),
            ("", "analyst", "This field is required"),
            ("a\0@example.com", "analyst", "Null characters are not allowed"),
        ],
    )
    def test_what_cannot_be_is_refused_at_the_field(
        self, acme, admin, auditor, email, role, complaint
    ):
        names = {"auditor": auditor.user.email, "new": new_user().email}
        before = roles(acme)
        answer = admin.post(page(admin), {"email": email.format(**names), "role": role})
        assert answer.status_code == 400
        assert complaint in answer.content.decode()
        assert roles(acme) == before
        assert events_of(acme) == []

    def test_a_closed_account_is_none(self, admin):
        user = new_user(is_active=False)
        answer = admin.post(page(admin), {"email": user.email, "role": "analyst"})
        assert "There is no account" in answer.content.decode()


class TestChange:
    def test_a_role_changes_at_once(self, acme, admin, analyst):
        answer = admin.post(page(admin, of(analyst)), {"role": "auditor"})
        assert answer.status_code == 302
        assert analyst.get("/audit").status_code == 200
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == ("member.changed", analyst.user.email)
        assert (event.before, event.after) == ({"role": "analyst"}, {"role": "auditor"})

    def test_the_same_role_again_is_no_event(self, acme, admin, analyst):
        admin.post(page(admin, of(analyst)), {"role": "analyst"})
        assert events_of(acme) == []

    def test_the_last_admin_stays_one(self, acme, admin, auditor):
        answer = admin.post(page(admin, of(admin)), {"role": "auditor"})
        assert answer.status_code == 400
        assert "is the last admin" in answer.content.decode()
        assert roles(acme)[admin.user.email] == "admin"

    def test_one_of_two_admins_may_step_back(self, acme, admin):
        new_member(acme, "admin")
        admin.post(page(admin, of(admin)), {"role": "auditor"})
        assert roles(acme)[admin.user.email] == "auditor"


class TestRemove:
    def test_it_asks_for_the_address_and_keeps_the_reason(self, acme, admin, auditor):
        path = page(admin, of(auditor) + "/remove")
        data = {"typed": auditor.user.email.upper(), "reason": "Left the company."}
        assert admin.post(path, data)["Location"] == page(admin)
        assert auditor.user.email not in roles(acme)
        assert auditor.get(f"/t/{acme.slug}").status_code == 404
        (event,) = events_of(acme)
        assert (event.action, event.before) == ("member.removed", {"role": "auditor"})
        assert event.reason == "Left the company."

    @pytest.mark.parametrize("typed", ["", "yes", "other@example.com"])
    def test_another_address_removes_nobody(self, acme, admin, auditor, typed):
        path = page(admin, of(auditor) + "/remove")
        answer = admin.post(path, {"typed": typed, "reason": "left"})
        assert answer.status_code == 400
        assert auditor.user.email in roles(acme)

    def test_it_asks_why(self, acme, admin, auditor):
        path = page(admin, of(auditor) + "/remove")
        assert admin.post(path, {"typed": auditor.user.email}).status_code == 400
        assert auditor.user.email in roles(acme)

    def test_the_last_admin_stays(self, acme, admin):
        path = page(admin, of(admin) + "/remove")
        answer = admin.post(path, {"typed": admin.user.email, "reason": "left"})
        assert answer.status_code == 400
        assert "is the last admin" in answer.content.decode()

    def test_of_two_who_remove_each_other_one_stays(self, acme, admin):
        other = new_member(acme, "admin")
        together = threading.Barrier(2)
        done = []

        def leave(person: Person) -> None:
            with working_for(acme.pk):  # as the thread's request would
                row = Membership.objects.of_tenant(acme).get(user=person.user)
            together.wait()
            try:
                members.remove(events.command_line(), row)
                done.append(person)
            except NotPossible:
                pass
            finally:
                connection.close()

        threads = [threading.Thread(target=leave, args=[p]) for p in (admin, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 1
        assert list(roles(acme).values()) == ["admin"]


class TestRead:
    def test_auditors_and_analysts_see_who_there_is(
        self, acme, admin, auditor, analyst
    ):
        for person in (auditor, analyst):
            text = person.get(page(person)).content.decode()
            assert all(p.user.email in text for p in (admin, auditor, analyst))
            assert "Add a member" not in text
            assert "/remove" not in text

    def test_it_has_nobody_of_others(self, admin, outsider):
        assert outsider.user.email not in admin.get(page(admin)).content.decode()

    def test_its_queries_do_not_grow(self, acme, admin, django_assert_max_num_queries):
        for _ in range(5):
            new_member(acme, "analyst")
        path = page(admin)
        with django_assert_max_num_queries(4):
            admin.get(path)
