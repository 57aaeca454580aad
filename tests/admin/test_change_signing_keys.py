"""Operators rotate and revoke signing keys in the admin, and say why."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from receipts.models import SigningKey
from tenants.models import AccessEvent, User
from tests.receipts.auditor import fetch, grow
from tests.receipts.key_operator import active_kid, published, range_of, revoke, rotate
from tests.receipts.tampering import change_log, log_row, receipt_row

KEYS = "/admin/receipts/signingkey/"
LOGS = "/admin/receipts/log/"


def act(operator, kids, action, **form):
    chosen = [SigningKey.objects.get(kid=kid).pk for kid in kids]
    data = {"action": action, "_selected_action": chosen}
    if form:
        data |= {"confirmed": "yes", **form}
    return operator.post(KEYS, data, follow=True)


def text_of(page):
    return re.sub(r"\s+", " ", page.content.decode())


@pytest.mark.parametrize("action", ["rotate", "revoke"])
def test_a_page_asks_first(operator, alice, action):
    grow(alice, 2)
    before = published(alice)
    page = act(operator, [active_kid(alice)], action)
    assert page.status_code == 200
    assert "The last entry of the log is 1." in text_of(page)
    assert 'name="reason"' in text_of(page)
    assert published(alice) == before


@pytest.mark.parametrize("action", ["rotate", "revoke"])
def test_the_page_has_nothing_inline(operator, alice, action):
    grow(alice, 2)
    kid = active_kid(alice, "checkpoint")
    html = act(operator, [kid], action).content.decode()
    assert "style=" not in html
    assert "<style" not in html
    assert not re.findall(r"\son\w+=", html)
    assert not re.findall(r"<script(?![^>]*\b(?:src|type=\"application/json\"))", html)


def test_a_receipt_key_is_rotated(operator, alice):
    grow(alice, 2)
    old = active_kid(alice)
    page = act(operator, [old], "rotate", reason="once a year")
    assert f"{active_kid(alice)} signs now." in text_of(page)
    assert range_of(alice, old) == ("retired", 0, 2)
    assert receipt_row(alice, 2).as_json()["reason"] == "once a year"


def test_a_checkpoint_key_is_rotated_with_its_overlap(operator, alice):
    grow(alice, 2)
    old = active_kid(alice, "checkpoint")
    act(operator, [old], "rotate", reason="once a year", overlap_days="2")
    assert range_of(alice, old)[0] == "retiring"
    entry = receipt_row(alice, 2).as_json()
    days = (entry["old_key"]["overlap_until"] - entry["issued_at"]) / 86_400
    assert abs(days - 2) < 0.01


@pytest.mark.parametrize(
    "form",
    [
        {"reason": ""},
        {"reason": "x" * 501},
        {"reason": "a year", "overlap_days": "0"},
        {"reason": "a year", "overlap_days": "soon"},
    ],
)
def test_a_bad_rotation_is_asked_for_again(operator, alice, form):
    grow(alice, 2)
    before = published(alice)
    kid = active_kid(alice, "checkpoint")
    page = act(operator, [kid], "rotate", **({"overlap_days": "7"} | form))
    assert "errorlist" in text_of(page)
    assert published(alice) == before


def test_a_key_out_of_use_is_not_rotated(operator, alice):
    grow(alice, 1)
    old = active_kid(alice)
    rotate(alice)
    before = published(alice)
    page = act(operator, [old], "rotate", reason="sent twice")
    assert "This key is not in use." in text_of(page)
    assert published(alice) == before


@pytest.mark.parametrize("length", [8, 43])
def test_a_key_is_revoked(operator, alice, length):
    grow(alice, 3)
    kid = active_kid(alice)
    form = {"last_valid_index": "1", "reason": "stolen", "kid": kid[:length]}
    act(operator, [kid], "revoke", **form)
    assert range_of(alice, kid) == ("revoked", 0, 1)
    assert fetch(alice, "/v1/receipts/run-2/verify")["verdict"] == "KEY_REVOKED"
    again = act(operator, [kid], "revoke", **form)
    assert "It was revoked so before." in text_of(again)


@pytest.mark.parametrize(
    "form",
    [
        {"kid": ""},
        {"kid": "short"},
        {"kid": "another-key"},
        {"reason": ""},
        {"reason": "a\nb"},
        {"last_valid_index": ""},
        {"last_valid_index": "-2"},
        {"last_valid_index": "3"},
        {"last_valid_index": str(10**30)},
        {"last_valid_index": "yesterday"},
    ],
    ids=str,
)
def test_a_bad_revocation_is_asked_for_again(operator, alice, form):
    grow(alice, 3)
    before = published(alice)
    kid = active_kid(alice)
    good = {"last_valid_index": "1", "reason": "stolen", "kid": kid[:8]}
    page = act(operator, [kid], "revoke", **(good | form))
    assert page.status_code == 200
    assert "errorlist" in text_of(page)
    assert published(alice) == before


def test_what_was_typed_is_shown_as_text(operator, alice):
    grow(alice, 1)
    page = act(operator, [active_kid(alice)], "revoke", reason="<b>x", kid="no")
    assert "&lt;b&gt;x" in page.content.decode()
    assert "<b>x" not in page.content.decode()


def test_one_key_at_a_time(operator, alice):
    grow(alice, 1)
    kids = [active_kid(alice), active_kid(alice, "checkpoint")]
    page = act(operator, kids, "rotate", reason="all of them")
    assert "Choose one key." in text_of(page)
    assert log_row(alice).size == 1


def test_events_name_the_operator(operator, alice):
    grow(alice, 1)
    act(operator, [active_kid(alice)], "rotate", reason="once a year")
    event = AccessEvent.objects.get(tenant=alice.tenant, action="signing_key.rotated")
    user = User.objects.get(pk=operator.session["_auth_user_id"])
    assert (event.actor_kind, event.actor_name) == ("person", user.email)
    assert (event.reason, event.address) == ("once a year", "127.0.0.1")


def test_who_may_only_look_cannot_act(database, alice):
    grow(alice, 1)
    user = User.objects.create(
        email=f"viewer-{alice.tenant.slug}@example.com", is_staff=True, password="!"
    )
    from django.contrib.auth.models import Permission

    user.user_permissions.add(Permission.objects.get(codename="view_signingkey"))
    viewer = Client()
    viewer.force_login(user)
    page = act(viewer, [active_kid(alice)], "rotate", reason="mischief")
    assert page.status_code == 200
    assert log_row(alice).size == 1


def test_the_seed_is_shown_nowhere(operator, alice):
    grow(alice, 1)
    for key in SigningKey.objects.filter(tenant=alice.tenant):
        pages = [
            operator.get(f"{KEYS}{key.pk}/change/"),
            operator.get(KEYS, {"q": key.kid}),
            act(operator, [key.kid], "revoke"),
        ]
        for page in pages:
            assert key.kid in page.content.decode()
            assert "seed" not in page.content.decode()
            assert bytes(key.sealed_seed).hex() not in page.content.decode()


def log_page(operator, caller):
    return text_of(operator.get(f"{LOGS}{log_row(caller).pk}/change/"))


class TestALog:
    def test_says_when_its_last_receipt_came(self, operator, alice):
        grow(alice, 3)
        year = str(log_row(alice).created_at.year)
        page = log_page(operator, alice)
        assert "is signed by a key that counts" in page
        assert year in page[page.index("Last receipt") :][:200]
        listed = text_of(operator.get(LOGS, {"q": alice.tenant.slug}))
        assert alice.tenant.slug in listed

    def test_without_a_receipt(self, operator, alice):
        fetch(alice, "/v1/signer/pubkey")
        assert "is signed by a key that counts" in log_page(operator, alice)

    def test_whose_checkpoint_is_of_another_tree(self, operator, alice):
        grow(alice, 2)
        text = log_row(alice).checkpoint
        grow(alice, 1)
        change_log(alice, checkpoint=text)
        assert "INCONSISTENT: the checkpoint" in log_page(operator, alice)

    def test_whose_newest_entry_is_missing(self, operator, alice):
        grow(alice, 2)
        change_log(alice, size=9)
        assert "BROKEN" in log_page(operator, alice)

    def test_after_its_key_was_revoked(self, operator, alice):
        grow(alice, 2)
        revoke(alice, active_kid(alice, "checkpoint"), -1)
        assert "is signed by a key that counts" in log_page(operator, alice)

    def test_is_listed_without_counting_receipts(self, operator, alice):
        grow(alice, 2)
        with CaptureQueriesContext(connection) as captured:
            operator.get(LOGS)
        about = [q["sql"] for q in captured if "receipts_receipt" in q["sql"]]
        assert len(about) == 1
        assert "COUNT" not in about[0].upper()
