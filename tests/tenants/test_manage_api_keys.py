"""The pages of API keys, for those who manage a tenant's keys."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import ApiKey
from tenants.scopes import IN_WORDS, KNOWN
from tests.caller import Caller
from tests.tenants.people import Person, after, events_of

NEW = {"name": "Claims desk", "scopes": ["receipts:write", "receipts:read"]}


def text_of(answer: Any) -> str:
    plain = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return html.unescape(re.sub(r"\s+", " ", plain))


def secret_in(answer: Any) -> str:
    assert answer.status_code == 200, text_of(answer)
    (secret,) = re.findall(r'data-copy="(lk_[^"]+)"', answer.content.decode())
    return str(secret)


def row_of(person: Person, key: ApiKey) -> str:
    page = person.get("/keys/api").content.decode()
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)
    (row,) = [row for row in rows if key.prefix in row]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", row))


def made(acme: Any, **terms: Any) -> ApiKey:
    key, _ = ApiKey.objects.issue(acme, "key", ["receipts:read"], **terms)
    return key


def test_every_scope_has_words():
    both = {scope for scope in KNOWN if scope.endswith(":*")}
    assert set(IN_WORDS) == KNOWN - both


class TestIssue:
    def test_its_secret_is_shown_once_and_works(self, acme, admin):
        answer = admin.post("/keys/api", NEW | {"expires_in_days": "30"})
        secret = secret_in(answer)
        key = ApiKey.objects.get(tenant=acme)
        assert key.expires_at
        assert abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(
            minutes=1
        )
        caller = Caller(acme, key, secret)
        assert caller.get("/v1/receipts").status_code == 200
        assert caller.get("/v1/costs").status_code == 403
        assert secret not in admin.get("/keys/api").content.decode()
        assert "no-store" in answer["Cache-Control"]

    def test_the_event_has_its_terms_and_no_secret(self, acme, admin):
        secret = secret_in(admin.post("/keys/api", NEW))
        (event,) = events_of(acme)
        assert (event.action, event.actor_name) == (
            "api_key.created",
            admin.user.email,
        )
        assert after(event)["scopes"] == ["receipts:read", "receipts:write"]
        assert secret not in str(event.as_json())

    def test_nothing_is_written_to_a_log(self, admin, caplog):
        with caplog.at_level("DEBUG"):
            secret = secret_in(admin.post("/keys/api", NEW))
        assert secret not in caplog.text

    def test_it_comes_with_a_command_to_try_it(self, admin):
        answer = admin.post("/keys/api", NEW | {"scopes": "metrics:read"})
        told = text_of(answer)
        bearer = f"-H 'Authorization: Bearer {secret_in(answer)}'"
        assert f"curl http://testserver/v1/costs \\ {bearer}" in told

    def test_all_terms_are_kept(self, acme, admin):
        terms = {
            "allowed_addresses": "192.0.2.0/24\r\n2001:db8::1\r\n",
            "requests_per_minute": "60",
            "expires_in_days": "",
        }
        secret_in(admin.post("/keys/api", NEW | terms))
        key = ApiKey.objects.get(tenant=acme)
        assert key.allowed_addresses == ["192.0.2.0/24", "2001:db8::1/128"]
        assert (key.requests_per_minute, key.expires_at) == (60, None)

    def test_it_is_of_the_mode_of_the_page(self, acme, admin):
        secret = secret_in(admin.post("/keys/api?mode=test", NEW))
        assert secret.startswith("lk_test_")
        assert ApiKey.objects.get(tenant=acme).mode == "test"
        assert "Claims desk" not in admin.get("/keys/api").content.decode()
        assert "Claims desk" in admin.get("/keys/api?mode=test").content.decode()

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"name": ""}, "This field is required"),
            ({"name": "x" * 201}, "at most 200 characters"),
            ({"name": "two\nlines"}, "one line, without control characters"),
            ({"name": "a\0b"}, "Null characters are not allowed"),
            ({"scopes": []}, "This field is required"),
            ({"scopes": ["receipts:read", "everything"]}, "Select a valid choice"),
            ({"expires_in_days": "0"}, "greater than or equal to 1"),
            ({"expires_in_days": "9" * 30}, "less than or equal to 3650"),
            ({"allowed_addresses": "192.0.2.1/24"}, "has host bits set"),
            ({"allowed_addresses": "home"}, "does not appear to be an IPv4"),
            ({"allowed_addresses": "1.1.1.1 " * 101}, "length <= 100"),
            ({"requests_per_minute": "0"}, "greater than or equal to 1"),
            ({"requests_per_minute": "many"}, "Enter a whole number"),
        ],
    )
    def test_what_is_wrong_is_said_at_its_field(self, acme, admin, changed, complaint):
        answer = admin.post("/keys/api", NEW | changed)
        assert answer.status_code == 400
        (name,) = changed
        form = answer.content.decode()
        there = re.search(rf'id="id_{name}_error".*?</ul>', form, re.DOTALL)
        assert there, "no complaint at the field"
        assert complaint in html.unescape(there[0])
        assert not ApiKey.objects.filter(tenant=acme).exists()
        assert events_of(acme) == []


class TestRead:
    def test_nothing_there_says_what_to_do(self, admin):
        assert "Issue the first below" in text_of(admin.get("/keys/api"))

    def test_each_status_is_in_words(self, acme, admin):
        now = timezone.now()
        keys = {
            "Active": made(acme),
            "Expires in 3 days": made(
                acme, expires_at=now + timedelta(days=2, hours=9)
            ),
            "Expires in 1 day": made(acme, expires_at=now + timedelta(hours=9)),
            "Expired": made(acme, expires_at=now - timedelta(hours=1)),
            "Revoked": made(acme),
            "Rotated, and works until": made(acme),
            "Rotated 2": made(acme),  # the year follows
        }
        keys["Revoked"].revoke()
        keys["Rotated, and works until"].rotate(timedelta(days=1))
        rotated = keys.pop("Rotated 2")
        rotated.rotate(timedelta(0))
        for words, key in keys.items():
            assert words in row_of(admin, key)
        assert "Rotated" in row_of(admin, rotated)
        assert "works until" not in row_of(admin, rotated)

    def test_a_key_says_when_and_from_where_it_was_used(self, acme, admin):
        key = made(acme)
        assert "never" in row_of(admin, key)
        ApiKey.objects.touch(key.pk, "192.0.2.7")
        assert "from 192.0.2.7" in row_of(admin, key)

    def test_a_name_is_text(self, acme, admin):
        ApiKey.objects.issue(acme, "<b>🔑" + "x" * 190, ["*"])
        page = admin.get("/keys/api").content.decode()
        assert "&lt;b&gt;🔑" in page

    def test_it_has_pages(self, acme, admin):
        for number in range(52):
            ApiKey.objects.issue(acme, f"number {number}", ["*"])
        first = admin.get("/keys/api").content.decode()
        (url,) = re.findall(r'rel="next" href="([^"]+)"', first)
        second = admin.get(f"/keys/api{html.unescape(url)}").content.decode()
        found = re.findall(r"number \d+<", first + second)
        assert found == [f"number {n}<" for n in reversed(range(52))]

    def test_a_made_up_cursor_is_refused(self, admin):
        answer = admin.get("/keys/api?cursor=x")
        assert answer.status_code == 400
        assert "points at no place" in text_of(answer)

    def test_keys_of_others_are_not_there(self, admin, charlie):
        assert charlie.key.prefix not in admin.get("/keys/api").content.decode()

    def test_its_queries_do_not_grow(self, acme, admin, django_assert_max_num_queries):
        for _ in range(5):
            made(acme)
        with django_assert_max_num_queries(4):
            admin.get("/keys/api")


ROTATION = {"reason": "once a year"}


class TestRotate:
    def test_the_successor_is_shown_once_and_both_work(self, acme, admin, alice):
        path = f"/keys/api/{alice.key.pk}/rotate"
        answer = admin.post(path, ROTATION | {"overlap": "3600"})
        secret = secret_in(answer)
        successor = ApiKey.objects.exclude(pk=alice.key.pk).get(tenant=acme)
        assert Caller(acme, successor, secret).get("/v1/receipts").status_code == 200
        assert alice.get("/v1/receipts").status_code == 200
        (event,) = events_of(acme)
        assert (event.action, event.reason) == ("api_key.rotated", "once a year")
        assert secret not in str(event.as_json())

    def test_without_an_overlap_the_old_key_ends_now(self, admin, alice):
        secret_in(
            admin.post(f"/keys/api/{alice.key.pk}/rotate", ROTATION | {"overlap": "0"})
        )
        assert alice.get("/v1/receipts").json()["code"] == "KEY_ROTATED"

    def test_what_was_rotated_is_not_rotated_again(self, acme, admin, alice):
        path = f"/keys/api/{alice.key.pk}/rotate"
        admin.post(path, ROTATION | {"overlap": "3600"})
        answer = admin.post(path, ROTATION | {"overlap": "3600"})
        assert answer.status_code == 400
        assert "was rotated before" in text_of(answer)
        assert ApiKey.objects.filter(tenant=acme).count() == 2

    @pytest.mark.parametrize("overlap", ["", "5", "a day", "-1"])
    def test_another_overlap_is_refused(self, acme, admin, alice, overlap):
        path = f"/keys/api/{alice.key.pk}/rotate"
        answer = admin.post(path, ROTATION | {"overlap": overlap})
        assert answer.status_code == 400
        assert ApiKey.objects.filter(tenant=acme).count() == 1


class TestRevoke:
    def test_the_next_request_is_refused(self, acme, admin, alice):
        path = f"/keys/api/{alice.key.pk}/revoke"
        form = {"typed": alice.key.prefix, "reason": "A laptop was stolen."}
        answer = admin.post(path, form)
        assert answer["Location"] == f"/t/{acme.slug}/keys/api"
        assert alice.get("/v1/receipts").json()["code"] == "KEY_REVOKED"
        (event,) = events_of(acme)
        assert (event.action, event.object_id) == ("api_key.revoked", alice.key.prefix)
        assert (event.reason, event.actor_name) == (
            "A laptop was stolen.",
            admin.user.email,
        )

    @pytest.mark.parametrize(
        "changed",
        [{"typed": ""}, {"typed": "lk_live"}, {"reason": ""}, {"reason": "a\nb"}],
    )
    def test_it_asks_for_the_prefix_and_a_reason(self, acme, admin, alice, changed):
        path = f"/keys/api/{alice.key.pk}/revoke"
        form = {"typed": alice.key.prefix, "reason": "stolen"} | changed
        assert admin.post(path, form).status_code == 400
        assert alice.get("/v1/receipts").status_code == 200
        assert events_of(acme) == []

    def test_a_key_of_test_data_is_found_in_that_mode_alone(self, acme, admin):
        key = made(acme, mode="test")
        path = f"/keys/api/{key.pk}/revoke"
        assert admin.get(path).status_code == 404
        assert admin.get(f"{path}?mode=test").status_code == 200
