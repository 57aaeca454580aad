"""The commands for people, as a shell runs them; and what each tells of itself."""

import io
import sys

import pytest
from django.contrib.auth import authenticate

from tenants import throttle
from tenants.models import AccessEvent, Membership, User
from tests.tenants.people import (
    PASSWORD,
    after,
    before,
    events_about,
    events_of,
    new_member,
    new_user,
)


@pytest.fixture
def email(acme):
    return acme.slug.replace("acme", "ada") + "@example.com"


@pytest.fixture
def type_in(monkeypatch):
    """What standard input has."""

    def type_in(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return type_in


class TestCreateUser:
    def test_the_password_is_a_line_of_standard_input(self, lines, email, type_in):
        type_in(f"{PASSWORD}\nand more")
        assert lines("create_user", email) == [f"{email} can log in."]
        assert authenticate(None, username=email, password=PASSWORD)
        user = User.objects.get(email=email)
        assert (user.is_staff, user.is_superuser) == (False, False)

    def test_one_can_be_made_and_is_shown_once(self, lines, email):
        password, said = lines("create_user", email, "--generate")
        assert said.endswith("This is the only time the password shows.")
        assert authenticate(None, username=email, password=password)

    def test_as_json(self, as_json, email, type_in):
        type_in(PASSWORD)
        made = as_json("create_user", email)
        user = User.objects.get(email=email)
        assert made == {"id": user.pk, "email": email, "operator": False}

    def test_a_made_one_as_json(self, as_json, email):
        made = as_json("create_user", email, "--generate", "--operator")
        assert authenticate(None, username=email, password=made["password"])
        user = User.objects.get(email=email)
        assert (user.is_staff, user.is_superuser) == (True, True)

    def test_the_address_is_kept_in_lower_case(self, lines, email):
        lines("create_user", email.upper(), "--generate")
        assert User.objects.filter(email=email).exists()

    @pytest.mark.parametrize(
        ("typed", "complaint"),
        [
            ("12345678", "too common"),
            ("short", "too short"),
            ("{email}", "too similar"),
            ("", "The password is empty"),
            ("\n", "The password is empty"),
        ],
    )
    def test_a_weak_password_is_refused(
        self, failure, email, type_in, typed, complaint
    ):
        type_in(typed.format(email=email))
        assert complaint in failure("create_user", email)
        assert not User.objects.filter(email=email).exists()

    @pytest.mark.parametrize("bad", ["ada", "a b@example.com", "", "@", "a" * 255])
    def test_what_is_no_address_is_refused(self, failure, bad):
        message = failure("create_user", "--generate", "--", bad)
        assert message.startswith("CommandError: email: ")

    def test_an_address_that_is_taken_is_refused(self, failure, auditor):
        message = failure("create_user", auditor.user.email, "--generate")
        assert message == "CommandError: email: User with this Email already exists.\n"

    def test_it_is_an_event_without_the_password(self, lines, email):
        password, _ = lines("create_user", email, "--generate")
        event = AccessEvent.objects.get(tenant=None, object_id=email)
        assert (event.action, event.actor_kind) == ("user.created", "command")
        assert event.after == {"operator": False}
        assert password not in str(vars(event))


class TestAddMember:
    def test_it_says_so(self, lines, acme):
        user = new_user()
        said = lines("add_member", acme.slug, user.email, "--role", "auditor")
        assert said == [f"{user.email} is auditor of {acme.slug}."]
        assert Membership.objects.get(tenant=acme, user=user).role == "auditor"
        (event,) = events_of(acme)
        assert (event.action, event.actor_kind) == ("member.added", "command")

    def test_as_json(self, as_json, acme):
        user = new_user()
        added = as_json("add_member", acme.slug, user.email, "--role", "admin")
        assert added.pop("since")
        assert added == {"tenant": acme.slug, "email": user.email, "role": "admin"}

    def test_twice_is_refused(self, failure, acme, auditor):
        email = auditor.user.email
        message = failure("add_member", acme.slug, email, "--role", "admin")
        assert message == f"CommandError: {email} is a member already.\n"

    def test_what_is_not_there_is_refused(self, failure, acme, auditor):
        role = ("--role", "admin")
        assert "There is no user" in failure("add_member", acme.slug, "x@y.z", *role)
        email = auditor.user.email
        assert "There is no tenant" in failure("add_member", "nobody", email, *role)
        assert "--role" in failure("add_member", acme.slug, email, code=2)
        unknown = ("--role", "owner")
        assert "--role" in failure("add_member", acme.slug, email, *unknown, code=2)


class TestRemoveMember:
    def test_it_says_so(self, lines, acme, auditor):
        email = auditor.user.email
        said = lines("remove_member", acme.slug, email)
        assert said == [f"{email} is no member of {acme.slug} any more."]
        assert not Membership.objects.filter(user=auditor.user).exists()
        assert events_of(acme)[-1].action == "member.removed"

    def test_as_json(self, as_json, acme, auditor):
        removed = as_json("remove_member", acme.slug, auditor.user.email)
        assert removed["role"] == "auditor"

    def test_the_last_admin_stays(self, failure, acme, admin):
        message = failure("remove_member", acme.slug, admin.user.email)
        assert "is the last admin" in message

    def test_who_is_none_is_refused(self, failure, acme, outsider):
        message = failure("remove_member", acme.slug, outsider.user.email)
        assert "is no member of" in message


class TestListMembers:
    def test_it_has_a_line_for_each(self, lines, acme, outsider):
        people = [new_member(acme, role) for role in ("admin", "analyst")]
        people.sort(key=lambda person: person.user.email)
        assert lines("list_members", acme.slug) == [
            f"{person.user.memberships.get().role:8} {person.user.email}"
            for person in people
        ]

    def test_as_json(self, as_json, acme, auditor):
        (member,) = as_json("list_members", acme.slug)["members"]
        assert (member["email"], member["role"]) == (auditor.user.email, "auditor")

    def test_none_is_said_too(self, lines, as_json, acme):
        assert lines("list_members", acme.slug) == ["No members."]
        assert as_json("list_members", acme.slug) == {"members": []}


class TestUnlockLogin:
    def test_a_locked_account_may_log_in(self, lines, database):
        user = new_user()
        for _ in range(5):
            throttle.begin(user.email, "198.51.100.7")
        assert throttle.seconds_to_wait(user.email, "198.51.100.7")
        assert lines("unlock_login", user.email) == [
            f"{user.email} may log in. Failures from 1 address are forgotten."
        ]
        assert not throttle.seconds_to_wait(user.email, "198.51.100.7")
        assert events_about(user) == ["login.unlocked"]

    def test_as_json(self, as_json, database):
        user = new_user()
        found = as_json("unlock_login", user.email)
        assert found == {"email": user.email, "addresses": 0}

    def test_who_is_not_there_is_refused(self, failure):
        assert "There is no user" in failure("unlock_login", "nobody@example.com")


class TestWhatOthersTell:
    """Each command that changes something of a tenant is an event there."""

    def last(self, tenant):
        event = events_of(tenant)[-1]
        assert event.actor_kind == "command"
        return event.action, event.object_kind, event.object_id

    def test_keys(self, lines, acme):
        create = ("create_api_key", acme.slug, "--name", "ci", "--scope", "*")
        text, _ = lines(*create)
        prefix = text[:18]
        assert self.last(acme) == ("api_key.created", "api_key", prefix)
        assert after(events_of(acme)[-1])["scopes"] == ["*"]
        lines("revoke_api_key", prefix)
        assert self.last(acme) == ("api_key.revoked", "api_key", prefix)
        assert events_of(acme)[-1].before == {"state": "active"}
        told = str([vars(event) for event in events_of(acme)])
        assert text[18:] not in told

    def test_prices(self, lines, acme):
        lines("set_price", acme.slug, "openai", "gpt-4o", "--factor", "0.85")
        assert self.last(acme) == ("price.created", "price", "openai gpt-4o")
        assert after(events_of(acme)[-1])["factor"] == "0.85"

    def test_providers(self, lines, acme, type_in):
        path = ("set_provider", acme.slug, "openai")
        type_in("sk-first-secret")
        lines(*path)
        assert self.last(acme) == ("provider.created", "provider", "openai")
        type_in("sk-other-secret")
        lines(*path, "--retries", "5")
        assert self.last(acme)[0] == "provider.changed"
        event = events_of(acme)[-1]
        assert (before(event)["retries"], after(event)["retries"]) == (2, 5)
        assert set(after(event)) == {"retries", "sealed"}
        lines("remove_provider", acme.slug, "openai")
        assert self.last(acme)[0] == "provider.removed"
        told = str([vars(event) for event in events_of(acme)])
        assert "secret" not in told

    def test_tenants(self, lines, acme):
        slug = acme.slug.replace("acme", "new")
        lines("create_tenant", slug)
        event = AccessEvent.objects.get(tenant__slug=slug)
        assert (event.action, event.object_id) == ("tenant.created", slug)
