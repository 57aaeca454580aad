"""What browsers are told to do, and not to do, with our answers."""

import uuid

import pytest
from django.conf import settings
from django.test import Client

from tenants.models import User
from tests.caller import HANDLER

PAGES = ["/", "/v1/docs", "/admin/login/", "/no/such/page", "/static/css/page.css"]
ANSWERS = ["/v1/openapi.json", "/v1/receipts", "/v1/no/such", "/log/nobody/checkpoint"]


def get(path, **options):
    client = Client(raise_request_exception=False)
    client.handler = HANDLER
    answer = client.get(path, **options)
    answer.close()  # a static file's
    return answer


def policy_of(answer):
    policy = answer["Content-Security-Policy"].split("; ")
    return {name: sources for name, _, sources in (it.partition(" ") for it in policy)}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_may_load_what_this_server_has_and_nothing_else(database, path):
    policy = policy_of(get(path))
    assert policy["default-src"] == "'none'"
    for name in ("script-src", "style-src", "connect-src", "form-action"):
        assert policy[name] == "'self'"
    for name in ("frame-ancestors", "base-uri", "object-src"):
        assert policy[name] == "'none'"


@pytest.mark.parametrize("path", [*PAGES, *ANSWERS])
def test_nothing_unsafe_is_allowed_anywhere(database, path):
    policy = get(path)["Content-Security-Policy"]
    for word in ("unsafe", "*", "http", "blob:", "strict-dynamic"):
        assert word not in policy


@pytest.mark.parametrize("path", ANSWERS)
def test_data_may_load_nothing(database, path):
    assert get(path)["Content-Security-Policy"] == (
        "default-src 'none'; frame-ancestors 'none'"
    )


def test_the_icon_is_where_browsers_guess_it(database):
    assert get("/favicon.ico")["Location"] == "/static/icon.svg"
    assert get("/static/icon.svg").status_code == 200


def test_every_page_of_the_admin_has_the_policy(operator, acme):
    for path in ("/admin/", "/admin/tenants/tenant/", f"/admin/x/{acme.pk}/"):
        assert policy_of(operator.get(path))["script-src"] == "'self'"


def test_a_fault_of_ours_has_the_policy(database, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("as a page may")

    monkeypatch.setattr("lucid.api.openapi.document", fail)
    answer = get("/v1/docs")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("path", [*PAGES, *ANSWERS])
def test_types_are_not_guessed_and_addresses_not_passed_on(database, path):
    answer = get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/admin/login/"])
def test_a_page_stands_in_no_frame_and_uses_no_device(database, path):
    answer = get(path)
    assert answer["X-Frame-Options"] == "DENY"
    assert "camera=()" in answer["Permissions-Policy"]


def test_https_stays_https(database):
    strict = get("/", secure=True)["Strict-Transport-Security"]
    assert strict == "max-age=31536000; includeSubDomains"
    assert "Strict-Transport-Security" not in get("/")


def test_http_is_not_redirected(database):
    for path in ("/", "/v1/receipts", "/v1/docs"):
        assert get(path).status_code in {200, 401}


def test_cookies_are_for_this_host_by_https_and_no_script(database):
    email, password = f"{uuid.uuid4()}@example.com", "correct horse"
    User.objects.create_superuser(email, password)
    form = {"username": email, "password": password, "next": "/admin/"}
    cookies = Client().post("/admin/login/", form).cookies
    assert set(cookies) == {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    for name, cookie in cookies.items():
        assert name.startswith("__Host-")
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["path"] == "/"
        assert not cookie["domain"]
        assert cookie["samesite"] == "Lax"


def test_a_forged_form_is_refused(operator):
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = operator.cookies
    assert browser.get("/admin/").status_code == 200
    assert browser.post("/admin/logout/").status_code == 403


GZIP = {"Accept-Encoding": "gzip"}


@pytest.mark.parametrize("path", ["/", "/static/css/page.css", "/static/js/page.js"])
def test_pages_and_their_parts_are_compressed_for_who_can_read_it(database, path):
    assert get(path, headers=GZIP)["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in get(path)


@pytest.mark.parametrize("path", ANSWERS)
def test_data_is_not_compressed(database, path):
    assert "Content-Encoding" not in get(path, headers=GZIP)


def test_a_part_of_a_file_is_that_part(database):
    answer = get("/static/css/page.css", headers=GZIP | {"Range": "bytes=0-499"})
    assert answer.status_code == 206
    assert "Content-Encoding" not in answer
