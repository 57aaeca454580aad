"""The commands about signing keys, as a shell runs them."""

import json
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from receipts.models import SigningKey
from tenants import events
from tests.receipts.auditor import fetch, grow
from tests.receipts.key_operator import active_kid, published, range_of, rotate
from tests.receipts.tampering import log_row, receipt_row


class TestRotateSigningKey:
    def test_the_receipt_key_unless_told(self, lines, alice):
        grow(alice, 1)
        old = active_kid(alice)
        told = lines("rotate_signing_key", alice.tenant.slug)
        new = active_kid(alice)
        receipt = receipt_row(alice, 1).pk
        assert told == [f"{new} signs from now on; receipt {receipt}."]
        assert range_of(alice, old) == ("retired", 0, 1)
        assert receipt_row(alice, 1).as_json()["reason"] == "scheduled rotation"

    def test_as_json(self, as_json, alice):
        grow(alice, 1)
        old = active_kid(alice)
        told = as_json("rotate_signing_key", alice.tenant.slug, "--reason", "yearly")
        new = SigningKey.objects.get(kid=active_kid(alice))
        assert told["leaf_index"] == 1
        assert told["receipt_id"] == str(receipt_row(alice, 1).pk)
        assert told["old_key"]["kid"] == old
        assert told["new_key"] == {
            "kid": new.kid,
            "tenant": alice.tenant.slug,
            "mode": "live",
            "purpose": "receipt",
            "status": "active",
            "first_index": 2,
            "last_index": None,
            "overlap_until": None,
            "master_key_id": new.master_key_id,
            "created_at": new.created_at.isoformat(),
        }

    def test_a_checkpoint_key_with_its_overlap(self, lines, alice):
        grow(alice, 1)
        old = active_kid(alice, "checkpoint")
        options = ["--purpose", "checkpoint", "--overlap", "24h"]
        told = lines("rotate_signing_key", alice.tenant.slug, *options)
        key = SigningKey.objects.get(kid=old)
        until = key.overlap_until
        assert until
        assert abs(until - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
        assert told[1] == f"{old} signs beside it until {until:%F %T} UTC."

    def test_seven_days_unless_told(self, lines, alice):
        grow(alice, 1)
        old = active_kid(alice, "checkpoint")
        lines("rotate_signing_key", alice.tenant.slug, "--purpose", "checkpoint")
        until = SigningKey.objects.get(kid=old).overlap_until
        assert until
        assert abs(until - timezone.now() - timedelta(days=7)) < timedelta(minutes=1)

    def test_of_test_data(self, lines, alice, alice_test):
        grow(alice, 1)
        grow(alice_test, 1)
        lines("rotate_signing_key", alice.tenant.slug, "--mode", "test")
        assert (log_row(alice).size, log_row(alice_test).size) == (1, 2)

    @pytest.mark.parametrize(
        "options",
        [
            ("--purpose", "other"),
            ("--mode", "both"),
            ("--overlap", "7"),
            ("--overlap", "0d"),
            ("--overlap", "1h"),  # a receipt key has none
            ("--reason", ""),
            ("--reason", "x" * 501),
            ("--mode", "test"),  # no such log yet
        ],
    )
    def test_wrong_options_change_nothing(self, shell, alice, options):
        grow(alice, 1)
        before = published(alice)
        code, out, err = shell("rotate_signing_key", alice.tenant.slug, *options)
        assert (code, out) == (2, "")
        assert err
        assert published(alice) == before

    def test_an_unknown_tenant_is_named(self, shell):
        code, out, err = shell("rotate_signing_key", "nobody-at-all")
        assert (code, out) == (1, "")
        assert "nobody-at-all" in err

    def test_a_ledger_that_cannot_be_written_to_exits_1(
        self, shell, alice, monkeypatch
    ):
        grow(alice, 1)

        def fail(*arguments, **options):
            raise OperationalError("disk full")

        monkeypatch.setattr(events, "record", fail)
        code, out, err = shell("rotate_signing_key", alice.tenant.slug)
        assert (code, out) == (1, "")
        assert "run this again" in err


class TestRevokeSigningKey:
    OPTIONS = ("--last-valid-index", 1, "--reason", "stolen")

    def test_it_says_what_signs_now(self, lines, alice):
        grow(alice, 3)
        kid = active_kid(alice)
        told = lines("revoke_signing_key", kid, *self.OPTIONS)
        receipt = receipt_row(alice, 3).pk
        assert told == [
            f"{kid} counts up to index 1 from now on; receipt {receipt}.",
            f"{active_kid(alice)} signs from now on.",
        ]
        assert fetch(alice, "/v1/receipts/run-2/verify")["verdict"] == "KEY_REVOKED"

    def test_as_json(self, as_json, alice):
        grow(alice, 3)
        kid = active_kid(alice)
        told = as_json("revoke_signing_key", kid, *self.OPTIONS)
        assert told["changed"] is True
        assert (told["key"]["kid"], told["key"]["status"]) == (kid, "revoked")
        assert told["key"]["last_index"] == told["leaf_index"] - 2 == 1
        assert told["new_key"]["kid"] == active_kid(alice)

    def test_none_valid_is_minus_one(self, as_json, alice):
        grow(alice, 1)
        kid = active_kid(alice)
        options = ["--last-valid-index", "-1", "--reason", "never ours"]
        assert as_json("revoke_signing_key", kid, *options)["key"]["last_index"] == -1

    def test_repeated_it_changes_nothing(self, lines, as_json, alice):
        grow(alice, 3)
        kid = active_kid(alice)
        lines("revoke_signing_key", kid, *self.OPTIONS)
        told = as_json("revoke_signing_key", kid, *self.OPTIONS)
        assert told["changed"] is False
        assert told["receipt_id"] is told["new_key"] is None
        again = lines("revoke_signing_key", kid, *self.OPTIONS)
        assert again == [f"{kid} was revoked at index 1 before. Nothing changed."]

    def test_a_higher_index_is_refused(self, shell, lines, alice):
        grow(alice, 3)
        kid = active_kid(alice)
        lines("revoke_signing_key", kid, *self.OPTIONS)
        options = ["--last-valid-index", "2", "--reason", "a mistake"]
        code, out, err = shell("revoke_signing_key", kid, *options)
        assert (code, out) == (2, "")
        assert "only lower" in err

    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("--last-valid-index", 1),
            ("--reason", "stolen"),
            ("--last-valid-index", "now", "--reason", "stolen"),
            ("--last-valid-index", "2026-11-25", "--reason", "stolen"),
            ("--last-valid-index", "-2", "--reason", "stolen"),
            ("--last-valid-index", "3", "--reason", "stolen"),
            ("--last-valid-index", 10**30, "--reason", "stolen"),
            ("--last-valid-index", "1", "--reason", " "),
        ],
        ids=str,
    )
    def test_wrong_options_change_nothing(self, shell, alice, options):
        grow(alice, 3)
        before = published(alice)
        code, out, err = shell("revoke_signing_key", active_kid(alice), *options)
        assert (code, out) == (2, "")
        assert err
        assert published(alice) == before

    def test_an_unknown_key_is_named(self, shell):
        code, out, err = shell("revoke_signing_key", "no-such-kid", *self.OPTIONS)
        assert (code, out) == (2, "")
        assert "no-such-kid" in err


class TestListSigningKeys:
    def test_old_ones_included(self, lines, alice):
        grow(alice, 1)
        old, log_key = active_kid(alice), active_kid(alice, "checkpoint")
        rotate(alice)
        slug = alice.tenant.slug
        assert lines("list_signing_keys", slug) == [
            f"{old}  {slug} live receipt    retired  0..1",
            f"{log_key}  {slug} live checkpoint active   0..",
            f"{active_kid(alice)}  {slug} live receipt    active   2..",
        ]

    def test_as_json_no_seed(self, as_json, alice):
        grow(alice, 1)
        told = as_json("list_signing_keys", alice.tenant.slug)
        assert [key["purpose"] for key in told["keys"]] == ["receipt", "checkpoint"]
        key = SigningKey.objects.get(kid=told["keys"][0]["kid"])
        assert bytes(key.sealed_seed).hex() not in json.dumps(told)
        assert not any("seed" in name for name in told["keys"][0])

    def test_of_all_tenants(self, as_json, alice, charlie):
        grow(alice, 1)
        grow(charlie, 1)
        slugs = {key["tenant"] for key in as_json("list_signing_keys")["keys"]}
        assert {alice.tenant.slug, charlie.tenant.slug} <= slugs

    def test_of_a_tenant_without_a_log(self, lines, acme):
        assert lines("list_signing_keys", acme.slug) == ["No signing keys."]

    def test_an_unknown_tenant_is_named(self, shell):
        code, _, err = shell("list_signing_keys", "nobody-at-all")
        assert code == 1
        assert "nobody-at-all" in err
