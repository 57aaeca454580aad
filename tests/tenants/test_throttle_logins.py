"""Guessing passwords gets slow, then stops; the owner of an account gets in."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.db.models import F
from django.test import Client, RequestFactory
from django.utils import timezone

from tenants import throttle
from tenants.models import LoginCount
from tenants.ticks import forget_login_failures
from tests.tenants.people import PASSWORD, events_about, new_user

WRONG = "wrong"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture(autouse=True)
def of_this_test_alone(database, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    LoginCount.objects.all().delete()


@pytest.fixture
def ada():
    return new_user(PASSWORD)


def attempt(user: Any, password: str = WRONG, address: str = HOME) -> bool:
    request = RequestFactory().post("/login", REMOTE_ADDR=address)
    email = getattr(user, "email", user)
    return authenticate(request, username=email, password=password) is not None


def pass_time(**span: float) -> None:
    """Move all that was counted into the past; a moment that is none stays so."""
    moments = ("last_failed_at", "blocked_until", "trusted_until")
    passed = timedelta(**span)
    LoginCount.objects.update(**{name: F(name) - passed for name in moments})


def fail(user: Any, times: int, address: str = HOME) -> None:
    """Fail as often, waiting each time for as long as one has to."""
    for _ in range(times):
        if wait := throttle.seconds_to_wait(getattr(user, "email", user), address):
            pass_time(seconds=wait)
        attempt(user, address=address)


class TestOneAccountFromOneAddress:
    def test_a_few_failures_cost_nothing(self, ada):
        fail(ada, 4)
        assert attempt(ada, PASSWORD)

    def test_then_each_makes_the_next_wait_longer(self, ada):
        fail(ada, 4)
        waits = []
        for _ in range(6):
            fail(ada, 1)
            waits.append(throttle.seconds_to_wait(ada.email, HOME))
        assert waits == [1, 2, 4, 8, 16, 15 * 60]

    def test_the_right_password_is_refused_while_one_waits(self, ada):
        fail(ada, 5)
        assert not attempt(ada, PASSWORD)
        pass_time(seconds=1)
        assert attempt(ada, PASSWORD)

    def test_what_is_refused_makes_the_wait_no_longer(self, ada):
        fail(ada, 10)
        for _ in range(20):
            attempt(ada)
        pass_time(minutes=15)
        assert attempt(ada, PASSWORD)

    def test_success_forgets_the_failures(self, ada):
        fail(ada, 9)
        pass_time(seconds=16)
        assert attempt(ada, PASSWORD)
        fail(ada, 4)
        assert attempt(ada, PASSWORD)

    def test_after_a_lock_one_failure_locks_again(self, ada):
        fail(ada, 11)
        assert throttle.seconds_to_wait(ada.email, HOME) == 15 * 60

    def test_an_hour_forgets_them_too(self, ada):
        fail(ada, 9)
        pass_time(hours=1, seconds=1)
        fail(ada, 4)
        assert attempt(ada, PASSWORD)

    def test_an_account_that_is_none_is_throttled_alike(self, database):
        fail("nobody@example.com", 10)
        assert throttle.seconds_to_wait("Nobody@example.com ", HOME) == 15 * 60

    def test_the_lock_is_an_event_and_what_is_refused_is_none(self, ada):
        fail(ada, 10)
        for _ in range(5):
            attempt(ada)
        told = Counter(events_about(ada))
        assert told == {"login.failed": 10, "login.locked": 1}


class TestStrangers:
    def test_they_lock_their_own_address_out_and_no_other(self, ada):
        fail(ada, 10, ELSEWHERE)
        assert attempt(ada, PASSWORD, HOME)

    def test_one_with_many_addresses_is_stopped(self, ada):
        for number in range(60):
            fail(ada, 1, f"203.0.113.{number}")
        assert throttle.seconds_to_wait(ada.email, "203.0.113.250") == 15 * 60
        assert not attempt(ada, PASSWORD, "203.0.113.250")

    def test_but_keeps_no_owner_out_who_was_here_of_late(self, ada):
        assert attempt(ada, PASSWORD, HOME)
        for number in range(60):
            fail(ada, 1, f"203.0.113.{number}")
        assert attempt(ada, PASSWORD, HOME)
        pass_time(days=31)
        for number in range(60):
            fail(ada, 1, f"203.0.113.{number}")
        assert not attempt(ada, PASSWORD, HOME)

    def test_one_who_tries_many_accounts_is_stopped(self, ada):
        for number in range(60):
            fail(f"{number}@example.com", 1, ELSEWHERE)
        assert not attempt(ada, PASSWORD, ELSEWHERE)
        assert attempt(ada, PASSWORD, HOME)

    def test_an_account_of_ones_own_does_not_make_an_address_new(self, ada):
        own = new_user(PASSWORD)
        for number in range(60):
            if wait := throttle.seconds_to_wait("x@example.com", ELSEWHERE):
                pass_time(seconds=wait)
            attempt(own, PASSWORD, ELSEWHERE)
            fail(f"{number}@example.com", 1, ELSEWHERE)
        assert throttle.seconds_to_wait("x@example.com", ELSEWHERE) == 15 * 60

    @pytest.mark.parametrize(
        ("address", "counted"),
        [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9", "203.0.113.9"),
            (None, "unknown"),
        ],
    )
    def test_an_address_is_what_one_client_has(self, address, counted):
        assert throttle.address_key(address) == counted

    def test_who_is_refused_leaves_no_rows(self, database):
        for number in range(60):
            fail(f"{number}@example.com", 1, ELSEWHERE)
        before = LoginCount.objects.count()
        for number in range(100, 120):
            attempt(f"{number}@example.com", address=ELSEWHERE)
        assert LoginCount.objects.count() == before

    def test_what_was_typed_is_not_kept(self, database):
        attempt("my secret password")
        rows = LoginCount.objects.values_list("account", "address")
        assert not any("secret" in text for row in rows for text in row)


class TestWorkers:
    @pytest.fixture
    def checked(self, monkeypatch):
        """The passwords that were looked at."""
        passwords: list[str] = []
        check = throttle.Attempt.__init__

        def count(self, refused, *args, **options):
            if not refused:
                passwords.append("")
            check(self, refused, *args, **options)

        monkeypatch.setattr(throttle.Attempt, "__init__", count)
        return passwords

    def test_many_at_once_get_no_more_tries(self, ada, checked):
        together = threading.Barrier(12)

        def guess(_: int) -> None:
            together.wait()
            try:
                attempt(ada)
            finally:
                connection.close()

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(guess, range(12)))
        assert len(checked) == 5
        assert LoginCount.objects.get(address=HOME, account__gt="").failures == 5

    def test_a_lock_is_known_in_another_connection(self, ada):
        fail(ada, 10)
        answers = []

        def ask() -> None:
            answers.append(attempt(ada, PASSWORD))
            connection.close()

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert answers == [False]


class TestEveryWayIn:
    @pytest.mark.parametrize("path", ["/login", "/admin/login/"])
    def test_it_is_throttled(self, path):
        operator = new_user(PASSWORD, is_staff=True, is_superuser=True)
        data = {"username": operator.email, "password": "wrong"}
        fail(operator, 9, "127.0.0.1")
        pass_time(seconds=16)
        page = Client().post(path, data).content.decode()
        assert "Wait 15 minutes before the next try" in page
        right = data | {"password": PASSWORD}
        assert "Wait 15 minutes" in Client().post(path, right).content.decode()
        throttle.unlock(operator.email)
        assert Client().post(path, right).status_code == 302

    def test_one_way_counts_for_the_other(self):
        operator = new_user(PASSWORD, is_staff=True, is_superuser=True)
        data = {"username": operator.email, "password": "wrong"}
        for _ in range(5):
            Client().post("/login", data)
        right = data | {"password": PASSWORD}
        assert (
            "before the next try"
            in Client().post("/admin/login/", right).content.decode()
        )

    def test_it_says_the_same_of_an_account_that_is_none(self, ada):
        pages = []
        for email in (ada.email, "nobody@example.com"):
            fail(email, 10, "127.0.0.1")
            page = Client().post("/login", {"username": email, "password": "x"})
            pages.append(page.content.decode().count("Wait 15 minutes"))
        assert pages == [1, 1]


class TestTick:
    def test_it_forgets_what_says_nothing_any_more(self, ada):
        fail(ada, 1)
        assert forget_login_failures() is None
        pass_time(hours=1, seconds=1)
        assert forget_login_failures() == "3 counts of failed log-ins forgotten"
        assert not LoginCount.objects.exists()

    def test_it_keeps_the_addresses_that_are_trusted(self, ada):
        attempt(ada, PASSWORD)
        pass_time(days=29)
        forget_login_failures()
        assert LoginCount.objects.filter(trusted_until__gt=timezone.now()).exists()
        pass_time(days=2)
        forget_login_failures()
        assert not LoginCount.objects.exists()
