"""The way in and out: what an attacker may try at the door."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants.models import AccessEvent
from tenants.sessions import hash_of
from tests.tenants.people import (
    PASSWORD,
    Person,
    events_about,
    new_member,
    new_user,
)

HASHER = "tests.tenants.test_log_in.CountingHasher"


class CountingHasher(MD5PasswordHasher):
    runs = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).runs += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def quick_hasher(settings):
    settings.PASSWORD_HASHERS = [HASHER]


@pytest.fixture
def ada(acme) -> Person:
    """An auditor with a password, not logged in."""
    return new_member(acme, "auditor", PASSWORD)


def enter(person: Person | Client, email: str, password: str, **more: Any) -> Any:
    client = person if isinstance(person, Client) else person.client
    # Of an address that no other test has failed at.
    address = {"REMOTE_ADDR": more.pop("address", "192.0.2.1")}
    data = {"username": email, "password": password, **more}
    return client.post("/login", data, **address)


def session_key(person: Person) -> str:
    return person.client.cookies[settings.SESSION_COOKIE_NAME].value


def is_kept(key: str) -> bool:
    return Session.objects.filter(session_key=hash_of(key)).exists()


class TestTheWayIn:
    def test_it_leads_to_the_overview(self, ada, acme):
        answer = enter(ada, ada.user.email, PASSWORD)
        assert (answer.status_code, answer["Location"]) == (302, "/")
        assert acme.name in ada.get("/").content.decode()

    def test_an_address_is_the_same_in_capitals(self, ada):
        assert enter(ada, ada.user.email.upper(), PASSWORD).status_code == 302

    def test_it_leads_to_where_one_wanted_to_go(self, ada):
        page = ada.get("/audit?action=x")
        assert page["Location"] == "/login?next=/audit%3Faction%3Dx"
        form = ada.get(page["Location"]).content.decode()
        assert '<input type="hidden" name="next" value="/audit?action=x">' in form
        answer = enter(ada, ada.user.email, PASSWORD, next="/audit?action=x")
        assert answer["Location"] == "/audit?action=x"

    @pytest.mark.parametrize(
        "url",
        [
            "//evil.example",
            "///evil.example",
            "https://evil.example",
            "https:evil.example",
            "https:///evil.example",
            "http:evil.example",
            "javascript:alert(1)",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "\x00//evil.example",
            "/\x00",
            "/%0d%0aSet-Cookie:x\r\nx",
            "/\u2028/evil",
            "evil.example",
            "@evil.example",
            "?x",
            "",
        ],
    )
    def test_it_leads_to_no_other_server(self, ada, url):
        assert enter(ada, ada.user.email, PASSWORD, next=url)["Location"] == "/"
        # Nor by the address of the form, for those who are logged in already.
        assert ada.client.get("/login", {"next": url})["Location"] == "/"

    def test_the_session_gets_another_key(self, ada):
        planted = ada.client.session.session_key
        assert is_kept(planted)
        enter(ada, ada.user.email, PASSWORD)
        assert session_key(ada) != planted
        assert not is_kept(planted)
        thief = Client()
        thief.cookies[settings.SESSION_COOKIE_NAME] = planted
        assert thief.get("/account").status_code == 302

    def test_another_site_logs_nobody_in(self, ada):
        careful = Client(enforce_csrf_checks=True)
        answer = enter(careful, ada.user.email, PASSWORD)
        assert answer.status_code == 403

    def test_a_closed_account_stays_out(self, ada):
        ada.user.is_active = False
        ada.user.save()
        answer = enter(ada, ada.user.email, PASSWORD)
        assert answer.status_code == 400

    def test_it_is_an_event_without_a_tenant(self, ada):
        enter(ada, ada.user.email, PASSWORD)
        event = AccessEvent.objects.get(tenant=None, object_id=ada.user.email)
        assert (event.action, event.actor_name) == ("login.succeeded", ada.user.email)
        assert (event.actor_id, event.address) == (str(ada.user.pk), "192.0.2.1")
        assert event.request_id

    def test_a_session_ends_within_half_a_day(self, ada):
        enter(ada, ada.user.email, PASSWORD)
        cookie = ada.client.cookies[settings.SESSION_COOKIE_NAME]
        assert cookie["max-age"] == 12 * 60 * 60


class TestWhoIsKnownHere:
    """Whether there is such an account shows in nothing."""

    def test_the_answer_is_the_same(self, ada):
        wrong, unknown = (
            enter(Client(), email, "x", address="192.0.2.2").content.decode()
            for email in (ada.user.email, "nobody@example.com")
        )
        assert "do not belong together" in wrong
        assert _plain(wrong, ada.user.email) == _plain(unknown, "nobody@example.com")

    @pytest.mark.parametrize("active", [True, False])
    def test_the_password_is_hashed_as_often(self, ada, active):
        ada.user.is_active = active
        ada.user.save()
        runs = []
        for email in (ada.user.email, "nobody@example.com"):
            CountingHasher.runs = 0
            enter(Client(), email, "x", address="192.0.2.3")
            runs.append(CountingHasher.runs)
        assert runs == [1, 1]

    def test_as_many_queries_are_made(self, ada):
        counts = []
        for email in (ada.user.email, f"nobody-{ada.user.email}"):
            with CaptureQueriesContext(connection) as queries:
                enter(Client(), email, "x", address="192.0.2.4")
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_what_is_no_account_is_written_down_nowhere(self, database):
        typed = "my-secret-password-in-the-wrong-field"
        before = AccessEvent.objects.filter(tenant=None).count()
        enter(Client(), typed, "x", address="192.0.2.5")
        events = AccessEvent.objects.filter(tenant=None).order_by("-id")
        assert events.count() > before
        event = events[0]
        assert event.action == "login.failed"
        told = [event.object_id, event.actor_name, event.actor_id, event.reason]
        assert told == [""] * 4
        assert (event.before, event.after) == (None, None)

    def test_an_account_that_there_is_is_named(self, ada):
        enter(ada, ada.user.email, "x")
        assert events_about(ada.user) == ["login.failed"]


def _plain(page: str, email: str) -> list[str]:
    lines = page.replace(email, "").splitlines()
    return [line for line in lines if "csrfmiddlewaretoken" not in line]


class TestTheWayOut:
    def test_the_session_is_over(self, ada):
        enter(ada, ada.user.email, PASSWORD)
        key = session_key(ada)
        assert ada.post("/logout")["Location"] == "/"
        assert not is_kept(key)
        assert ada.get("/account").status_code == 302
        assert events_about(ada.user) == ["login.succeeded", "logout"]

    def test_going_twice_is_fine(self, ada):
        assert ada.post("/logout").status_code == 302


class TestChangePassword:
    NEW = "a better horse, with a battery"

    def change(self, person: Person, old: str, new: str) -> Any:
        data = {"old_password": old, "new_password1": new, "new_password2": new}
        return person.post("/account", data)

    def test_others_with_it_are_logged_out(self, ada):
        elsewhere = Person(ada.user)
        for browser in (ada, elsewhere):
            enter(browser, ada.user.email, PASSWORD)
        assert self.change(ada, PASSWORD, self.NEW)["Location"] == "/account"
        assert ada.get("/account").status_code == 200
        assert elsewhere.get("/account").status_code == 302
        assert enter(elsewhere, ada.user.email, PASSWORD).status_code == 400
        assert enter(elsewhere, ada.user.email, self.NEW).status_code == 302
        assert "password.changed" in events_about(ada.user)

    @pytest.mark.parametrize(
        ("old", "new"), [("wrong", NEW), (PASSWORD, "12345678"), (PASSWORD, "")]
    )
    def test_a_bad_one_is_refused(self, ada, old, new):
        enter(ada, ada.user.email, PASSWORD)
        answer = self.change(ada, old, new)
        assert answer.status_code == 400
        assert "Nothing was changed" in answer.content.decode()
        assert events_about(ada.user) == ["login.succeeded"]

    def test_operators_change_theirs_here_too(self, ada):
        enter(ada, ada.user.email, PASSWORD)
        assert ada.get("/admin/password_change/")["Location"] == "/account"


def test_a_user_without_membership_is_told_so(database):
    person = Person(new_user(PASSWORD))
    enter(person, person.user.email, PASSWORD)
    answer = person.get("/")
    assert answer.status_code == 403
    assert "You belong to no tenant yet" in answer.content.decode()
