"""Peppers rotate while keys are in use: a key moves to the first when it is used."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants.authentication import look_up
from tenants.models import ApiKey
from tenants.peppers import pepper_uses
from tenants.secrets import api_key_mac
from tests.caller import RUN
from tests.conftest import new_caller


@pytest.fixture
def old(settings):
    return dict(settings.LUCID_API_KEY_PEPPERS)


@pytest.fixture
def rotated(alice, old, settings):
    """Alice's key is from before there was another pepper."""
    settings.LUCID_API_KEY_PEPPERS = {"p2": b"new".ljust(32, b"."), **old}


def stored(caller):
    caller.key.refresh_from_db()
    return caller.key.pepper_id, bytes(caller.key.mac)


def updates(queries):
    return [q["sql"] for q in queries if q["sql"].startswith("UPDATE")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_moves_when_it_is_used(rotated, alice, method):
    assert alice.request(method, "/v1/receipts", b"{}").status_code in {200, 400}
    assert stored(alice) == ("p2", api_key_mac(alice.text, "p2"))


def test_it_works_before_and_after(rotated, alice):
    for _ in range(2):
        assert alice.get("/v1/receipts").status_code == 200
        alice.record()


def test_it_works_when_the_old_pepper_is_dropped(rotated, alice, settings):
    alice.record()
    settings.LUCID_API_KEY_PEPPERS = {"p2": settings.LUCID_API_KEY_PEPPERS["p2"]}
    assert alice.get("/v1/receipts").status_code == 200


def test_one_never_used_is_refused_when_the_old_pepper_is_dropped(
    rotated, alice, settings
):
    settings.LUCID_API_KEY_PEPPERS = {"p2": settings.LUCID_API_KEY_PEPPERS["p2"]}
    assert alice.get("/v1/receipts").json()["error_code"] == "UNAUTHORIZED"


def test_it_moves_once(rotated, alice):
    look_up(alice.text)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        look_up(alice.text)
    assert len(queries) == 1


def test_of_two_at_once_one_moves_it(rotated, alice):
    """Both have found it under the old pepper."""
    one, other = (ApiKey.objects.get(pk=alice.key.pk) for _ in range(2))
    ApiKey.objects.renew_mac(one, alice.text)
    ApiKey.objects.filter(pk=one.pk).update(mac=b"changed")
    ApiKey.objects.renew_mac(other, alice.text)
    assert stored(alice) == ("p2", b"changed")


def test_moving_brings_no_revoked_key_back(rotated, alice):
    stale = ApiKey.objects.get(pk=alice.key.pk)
    ApiKey.objects.get(pk=alice.key.pk).revoke()
    ApiKey.objects.renew_mac(stale, alice.text)
    alice.key.refresh_from_db()
    assert alice.key.state() == "revoked"


def test_a_wrong_text_moves_nothing(rotated, alice):
    before = stored(alice)
    wrong = alice.text[:-1] + ("0" if alice.text[-1] != "0" else "1")
    assert alice.get("/v1/receipts", Authorization=f"Bearer {wrong}").status_code == 401
    assert stored(alice) == before


def test_a_refused_key_stays(rotated, alice):
    before = stored(alice)
    alice.key.revoke()
    alice.get("/v1/receipts")
    assert stored(alice) == before


def test_workers_of_both_orders_take_the_key(alice, old, settings):
    """As during a roll-out, where the new pepper is known everywhere already."""
    new = {"p2": b"new".ljust(32, b".")}
    for peppers in ({**old, **new}, {**new, **old}) * 2:
        settings.LUCID_API_KEY_PEPPERS = peppers
        assert alice.get("/v1/receipts").status_code == 200
        assert alice.post("/v1/receipts", RUN).status_code == 200


def test_what_depends_on_each_pepper_is_told(rotated, alice, acme):
    moved, ended = new_caller(acme), new_caller(acme)
    moved.record()
    ended.key.revoke()
    uses = {use.pepper_id: use for use in pepper_uses()}
    assert list(uses)[:2] == ["p2", "p1"]
    assert uses["p2"].is_first
    assert not uses["p2"].would_die
    prefixes = {key.prefix for key in uses["p1"].would_die}
    assert alice.key.prefix in prefixes
    assert prefixes.isdisjoint({moved.key.prefix, ended.key.prefix})
    assert uses["p1"].active_keys == len(uses["p1"].would_die)


def test_keys_of_a_pepper_that_is_gone_are_told_too(alice):
    ApiKey.objects.filter(pk=alice.key.pk).update(pepper_id="p0")
    (gone,) = (use for use in pepper_uses() if use.pepper_id == "p0")
    assert not gone.is_known
    assert alice.key.prefix in {key.prefix for key in gone.would_die}
    alice.key.revoke()
