"""Who reads the rows of sessions cannot log in with them."""

import uuid

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.models import Session
from django.test import Client

from tenants.models import User
from tenants.sessions import SessionStore, hash_of

ADMIN = "/admin/"


@pytest.fixture
def person(database):
    fields = {"is_staff": True, "is_superuser": True, "password": "!"}
    return User.objects.create(email=f"{uuid.uuid4()}@example.com", **fields)


@pytest.fixture
def browser(person):
    client = Client()
    client.force_login(person)
    return client


def cookie_of(client):
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def with_cookie(value):
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = value
    return client


def test_a_session_goes_on_from_request_to_request(browser):
    for _ in range(2):
        assert browser.get(ADMIN).status_code == 200


def test_the_row_holds_a_hash_of_the_cookie(browser):
    cookie = cookie_of(browser)
    assert not Session.objects.filter(pk=cookie).exists()
    assert Session.objects.filter(pk=hash_of(cookie)).exists()


def test_what_the_row_holds_logs_nobody_in(browser):
    row = Session.objects.get(pk=hash_of(cookie_of(browser)))
    for value in (row.session_key, hash_of(row.session_key), row.session_data):
        assert with_cookie(value).get(ADMIN).status_code == 302
    assert with_cookie(cookie_of(browser)).get(ADMIN).status_code == 200


def test_logging_out_removes_the_row(browser):
    cookie = cookie_of(browser)
    browser.post("/admin/logout/")
    assert not Session.objects.filter(pk=hash_of(cookie)).exists()
    assert with_cookie(cookie).get(ADMIN).status_code == 302


def test_a_key_of_the_clients_own_is_not_taken(person):
    chosen = "a" * 32
    client = with_cookie(chosen)
    client.force_login(person)
    assert cookie_of(client) != chosen
    assert not Session.objects.filter(pk=hash_of(chosen)).exists()


def test_a_session_that_is_over_is_refused(browser):
    cookie = cookie_of(browser)
    Session.objects.filter(pk=hash_of(cookie)).update(expire_date="2020-01-01T00:00Z")
    assert with_cookie(cookie).get(ADMIN).status_code == 302


def test_a_new_key_keeps_the_data_and_forgets_the_old_key(database):
    store = SessionStore()
    store["answer"] = 42
    store.save()
    old = store.session_key
    store.cycle_key()
    assert SessionStore(store.session_key)["answer"] == 42
    assert "answer" not in SessionStore(old)
    assert old
    assert not SessionStore().exists(old)


def test_a_session_ended_elsewhere_does_not_come_back(database):
    store = SessionStore()
    store["answer"] = 42
    store.save()
    SessionStore(store.session_key).delete()
    store["answer"] = 43
    with pytest.raises(UpdateError):
        store.save()


def test_no_asynchronous_code_writes_the_key_itself(database):
    store = SessionStore()
    with pytest.raises(NotImplementedError):
        async_to_sync(store.asave)()
    assert not Session.objects.filter(pk=store.session_key).exists()
