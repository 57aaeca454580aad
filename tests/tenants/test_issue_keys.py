import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.models import ApiKey, Mode
from tenants.secrets import api_key_mac, prefix_of
from tests.conftest import new_caller


def columns(key):
    return str(ApiKey.objects.filter(pk=key.pk).values_list().get())


@pytest.mark.parametrize("mode", Mode.values)
def test_a_key_names_its_mode(acme, mode):
    key, text = ApiKey.objects.issue(acme, "ci", ["*"], mode)
    assert re.fullmatch(rf"lk_{mode}_[0-9A-Za-z]{{42}}", text)
    assert key.mode == mode


def test_its_prefix_is_the_public_part(acme):
    key, text = ApiKey.objects.issue(acme, "ci", ["*"])
    assert text.startswith(key.prefix)
    assert len(key.prefix) == len("lk_live_") + 10
    assert prefix_of(text) == key.prefix


def test_the_secret_is_not_in_the_row(acme):
    key, text = ApiKey.objects.issue(acme, "ci", ["*"])
    secret = text.removeprefix(key.prefix)
    assert secret not in columns(key)
    assert key.prefix in columns(key)


def test_the_row_holds_a_mac_under_the_pepper(acme, settings):
    key, text = ApiKey.objects.issue(acme, "ci", ["*"])
    assert bytes(key.mac) == api_key_mac(text, "p1")
    settings.LUCID_API_KEY_PEPPERS = {"p1": b"another".ljust(32, b".")}
    assert bytes(key.mac) != api_key_mac(text, "p1")


def test_the_first_pepper_is_in_use(acme, settings):
    old = settings.LUCID_API_KEY_PEPPERS
    settings.LUCID_API_KEY_PEPPERS = {"p2": b"new".ljust(32, b"."), **old}
    key, _ = ApiKey.objects.issue(acme, "ci", ["*"])
    assert key.pepper_id == "p2"


def test_keys_of_an_older_pepper_still_work(acme, settings):
    caller = new_caller(acme)
    old = settings.LUCID_API_KEY_PEPPERS
    settings.LUCID_API_KEY_PEPPERS = {"p2": b"new".ljust(32, b"."), **old}
    assert caller.get("/v1/receipts").status_code == 200
    caller.record()


def test_two_keys_have_nothing_in_common(acme):
    (one, one_text), (two, two_text) = (
        ApiKey.objects.issue(acme, "ci", ["*"]) for _ in range(2)
    )
    assert one.prefix != two.prefix
    assert one_text.removeprefix(one.prefix) != two_text.removeprefix(two.prefix)


def test_scopes_are_kept_once_and_in_order(acme):
    scopes = ["receipts:write", "audit:read", "receipts:write"]
    key, _ = ApiKey.objects.issue(acme, "ci", scopes)
    key.refresh_from_db()
    assert key.scopes == ["audit:read", "receipts:write"]


def test_a_key_without_a_lifetime_does_not_expire(acme):
    key, _ = ApiKey.objects.issue(acme, "ci", ["*"])
    assert key.expires_at is None
    assert key.state(timezone.now() + timedelta(days=10_000)) == "active"


def test_a_key_expires_at_its_time(acme):
    before = timezone.now()
    key, _ = ApiKey.objects.issue(acme, "ci", ["*"], expires_in=timedelta(days=90))
    assert key.expires_at is not None
    assert before + timedelta(days=90) <= key.expires_at
    assert key.state(key.expires_at - timedelta(seconds=1)) == "active"
    assert key.state(key.expires_at) == "expired"


def test_a_prefix_is_given_out_once(acme):
    key, _ = ApiKey.objects.issue(acme, "ci", ["*"])
    key.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        key.save(force_insert=True)


class TestRevoking:
    def test_it_is_at_once(self, alice):
        before = timezone.now()
        alice.key.revoke()
        alice.key.refresh_from_db()
        assert before <= alice.key.revoked_at <= timezone.now()
        assert alice.key.state() == "revoked"

    def test_twice_keeps_the_first_time(self, alice):
        alice.key.revoke()
        first = alice.key.revoked_at
        alice.key.revoke()
        alice.key.refresh_from_db()
        assert alice.key.revoked_at == first

    def test_it_comes_before_expiry(self, alice):
        alice.key.expires_at = timezone.now() - timedelta(days=1)
        alice.key.revoke()
        assert alice.key.state() == "revoked"

    def test_it_tells_every_worker(self, alice, acme):
        # What they remember is right for as long as this number stays.
        before = acme.keyring_version
        alice.key.revoke()
        acme.refresh_from_db()
        assert acme.keyring_version == before + 1

    def test_it_writes_no_other_column(self, alice):
        stale = ApiKey.objects.get(pk=alice.key.pk)
        ApiKey.objects.filter(pk=alice.key.pk).update(name="renamed")
        stale.revoke()
        alice.key.refresh_from_db()
        assert alice.key.name == "renamed"
