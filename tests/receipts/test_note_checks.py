"""That a log was verified in full is an access event, whatever came of it."""

import pytest
from django.db import OperationalError

from receipts import log_health
from receipts.log_health import health_of
from tests.receipts.auditor import grow
from tests.receipts.tampering import change_entry, log_row
from tests.tenants.people import after, events_of


def test_a_sound_log_is_noted_with_its_size(acme, alice, as_json):
    grow(alice, 3)
    as_json("verify_log", acme.slug)
    (event,) = events_of(acme)
    assert (event.action, event.actor_kind) == ("log.verified", "command")
    assert (event.object_kind, event.object_id) == ("log", log_row(alice).origin)
    assert event.after == {"verdict": "VALID", "size": 3, "place": ""}


def test_so_is_one_that_is_wrong(acme, alice, shell):
    grow(alice, 3)
    change_entry(alice, 1, runtime="sglang")
    assert shell("verify_log", acme.slug)[0] == 1
    (event,) = events_of(acme)
    assert after(event)["verdict"] == "INVALID"
    assert after(event)["place"] == "entry 1"


def test_its_size_is_of_what_was_checked_and_not_of_what_came_meanwhile(
    acme, alice, as_json, monkeypatch
):
    grow(alice, 2)
    check_head = log_health.note_check

    def late(*told):
        grow(alice, 1)
        check_head(*told)

    monkeypatch.setattr("receipts.management.commands.verify_log.note_check", late)
    as_json("verify_log", acme.slug)
    assert after(events_of(acme)[0])["size"] == 2


def test_a_standby_is_checked_all_the_same(acme, alice, shell, monkeypatch):
    grow(alice, 1)

    def refuse(*told):
        raise OperationalError("cannot execute INSERT in a read-only transaction")

    monkeypatch.setattr("receipts.management.commands.verify_log.note_check", refuse)
    code, out, err = shell("verify_log", acme.slug)
    assert code == 0
    assert "VALID" in out
    assert "not on record" in err


class TestHealth:
    def test_there_is_none_without_a_log(self, acme):
        assert health_of(acme.pk, "live") is None

    def test_the_newest_check_counts(self, acme, alice, as_json):
        grow(alice, 1)
        health = health_of(acme.pk, "live")
        assert health
        assert (health.check, health.unchecked) == (None, 1)
        as_json("verify_log", acme.slug)
        grow(alice, 2)
        as_json("verify_log", acme.slug)
        grow(alice, 1)
        health = health_of(acme.pk, "live")
        assert health
        assert health.check
        assert (health.check.is_valid, health.check.last_index) == (True, 2)
        assert health.unchecked == 1

    def test_each_mode_has_its_own(self, acme, alice, alice_test, as_json):
        grow(alice, 1)
        grow(alice_test, 1)
        as_json("verify_log", acme.slug, "--mode", "test")
        live, test = (health_of(acme.pk, mode) for mode in ("live", "test"))
        assert live
        assert test
        assert live.check is None
        assert test.check

    def test_the_newest_entry_says_when_the_head_was_signed(self, acme, alice):
        (receipt,) = grow(alice, 1)
        health = health_of(acme.pk, "live")
        assert health
        assert health.newest_at == receipt["issued_at"]
        assert health.checkpoint_key.purpose == "checkpoint"

    @pytest.mark.parametrize("size", [1, 3])
    def test_it_takes_three_queries(self, acme, alice, size, django_assert_num_queries):
        grow(alice, size)
        with django_assert_num_queries(3):
            health_of(acme.pk, "live")
