"""A rotated key and its successor both work for a while, then the successor alone."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from tenants.api_keys import rotate_key
from tenants.events import command_line
from tenants.models import AccessEvent, ApiKey, NotRotatable
from tests.caller import RUN, Caller
from tests.conftest import new_caller

DAY = timedelta(days=1)


def rotate(caller, overlap=DAY, **options):
    """Return the caller with the successor of its key."""
    key = ApiKey.objects.select_related("tenant").get(pk=caller.key.pk)
    successor, text = rotate_key(command_line(), key, overlap, **options)
    return Caller(caller.tenant, successor, text)


def code(answer):
    return answer.status_code, answer.json().get("error_code")


@pytest.fixture
def later(monkeypatch):
    """Let the clock stand at another time from now."""
    now = timezone.now

    def move(by):
        monkeypatch.setattr(timezone, "now", lambda: now() + by)

    return move


class TestTheSuccessor:
    def test_it_may_do_the_same(self, acme):
        key, text = ApiKey.objects.issue(
            acme,
            "ci",
            ["receipts:read"],
            "test",
            allowed_addresses=["192.0.2.0/24"],
            requests_per_minute=7,
        )
        successor = rotate(Caller(acme, key, text)).key
        same = ("tenant_id", "name", "scopes", "mode", "allowed_addresses")
        for name in (*same, "requests_per_minute"):
            assert getattr(successor, name) == getattr(key, name), name

    def test_it_is_another_key(self, alice):
        successor = rotate(alice)
        assert successor.key.prefix != alice.key.prefix
        assert successor.text[18:] != alice.text[18:]

    def test_the_old_row_names_it(self, alice):
        successor = rotate(alice)
        alice.key.refresh_from_db()
        assert alice.key.rotated_to == successor.key

    def test_it_expires_when_the_old_one_would_have(self, acme):
        key, text = ApiKey.objects.issue(acme, "ci", ["*"], expires_in=10 * DAY)
        assert rotate(Caller(acme, key, text)).key.expires_at == key.expires_at

    def test_it_expires_as_told(self, alice):
        before = timezone.now()
        expires_at = rotate(alice, expires_in=10 * DAY).key.expires_at
        assert before + 10 * DAY <= expires_at <= timezone.now() + 10 * DAY

    def test_it_may_be_rotated_in_turn(self, alice):
        assert rotate(rotate(alice)).record()


class TestTheOverlap:
    def test_both_work(self, alice):
        successor = rotate(alice)
        for caller in (alice, successor):
            assert caller.get("/v1/receipts").status_code == 200
            caller.record()

    def test_then_the_old_one_is_told_that_it_was_rotated(self, alice, later):
        successor = rotate(alice)
        later(DAY)
        assert code(alice.get("/v1/receipts")) == (401, "KEY_ROTATED")
        assert code(alice.post("/v1/receipts", RUN)) == (401, "KEY_ROTATED")
        assert successor.record()

    def test_its_end_is_exact_in_a_worker_that_remembers_the_key(
        self, alice, monkeypatch
    ):
        successor = rotate(alice)
        alice.record()  # and so it is remembered, with the end of the overlap
        alice.key.refresh_from_db()
        ends_at = alice.key.overlap_ends_at
        just_before = ends_at - timedelta(microseconds=1)
        monkeypatch.setattr(timezone, "now", lambda: just_before)
        alice.record()
        monkeypatch.setattr(timezone, "now", lambda: ends_at)
        assert code(alice.post("/v1/receipts", RUN)) == (401, "KEY_ROTATED")
        assert successor.record()

    def test_none_ends_the_old_key_at_once_in_such_a_worker(self, alice):
        alice.record()
        successor = rotate(alice, timedelta(0))
        assert code(alice.post("/v1/receipts", RUN)) == (401, "KEY_ROTATED")
        assert code(alice.post("/v1/receipts", {})) == (401, "KEY_ROTATED")
        assert code(alice.get("/v1/receipts")) == (401, "KEY_ROTATED")
        assert successor.record()

    def test_a_key_that_expires_within_it_expires(self, acme, later):
        key, text = ApiKey.objects.issue(acme, "ci", ["*"], expires_in=DAY / 2)
        old = Caller(acme, key, text)
        rotate(old)
        later(DAY / 2)
        assert code(old.get("/v1/receipts")) == (401, "KEY_EXPIRED")

    def test_one_longer_than_its_life_does_not_prolong_it(self, acme, later):
        key, text = ApiKey.objects.issue(acme, "ci", ["*"], expires_in=DAY)
        old = Caller(acme, key, text)
        successor = rotate(old, 10 * DAY)
        old.record()
        later(DAY)
        assert code(old.post("/v1/receipts", RUN)) == (401, "KEY_EXPIRED")
        assert code(successor.post("/v1/receipts", RUN)) == (401, "KEY_EXPIRED")

    def test_writers_meet_no_refusal_while_keys_change(self, alice):
        """Receipts reported all the while, by the key that was the newest just then."""
        newest, refusals, stop = [alice], [], threading.Event()

        def write():
            try:
                while not stop.is_set():
                    answer = newest[-1].post("/v1/receipts", RUN)
                    if answer.status_code != 200:
                        refusals.append(answer.content)
            finally:
                connections.close_all()

        writers = [threading.Thread(target=write) for _ in range(3)]
        for writer in writers:
            writer.start()
        for _ in range(10):
            newest.append(rotate(newest[-1], timedelta(minutes=1)))
            time.sleep(0.05)
        stop.set()
        for writer in writers:
            writer.join()
        assert refusals == []


class TestWhatIsNotRotated:
    def refused(self, caller, why):
        before = ApiKey.objects.filter(tenant=caller.tenant).count()
        with pytest.raises(NotRotatable, match=why):
            rotate(caller)
        assert ApiKey.objects.filter(tenant=caller.tenant).count() == before

    def test_a_key_that_was(self, alice):
        rotate(alice)
        self.refused(alice, "was rotated before; rotate its successor")

    def test_a_key_that_was_and_has_ended(self, alice):
        rotate(alice, timedelta(0))
        self.refused(alice, "was rotated before; rotate its successor")

    def test_a_revoked_key(self, alice):
        alice.key.revoke()
        self.refused(alice, "is revoked")

    def test_an_expired_key(self, alice):
        ApiKey.objects.filter(pk=alice.key.pk).update(expires_at=timezone.now())
        self.refused(alice, "is expired")

    def test_a_stale_copy_makes_no_second_successor(self, alice):
        stale = ApiKey.objects.select_related("tenant").get(pk=alice.key.pk)
        successor = rotate(alice)
        with pytest.raises(NotRotatable):
            stale.rotate(DAY)
        alice.key.refresh_from_db()
        assert alice.key.rotated_to == successor.key


def test_a_rotated_key_may_be_revoked(alice):
    successor = rotate(alice)
    alice.key.revoke()
    assert code(alice.post("/v1/receipts", RUN)) == (401, "KEY_REVOKED")
    assert successor.record()


def test_revoking_tells_more_than_rotating(alice):
    rotate(alice, timedelta(0))
    alice.key.revoke()
    assert code(alice.get("/v1/receipts")) == (401, "KEY_REVOKED")


def test_an_access_event_says_who_and_what(alice):
    successor = rotate(alice)
    event = AccessEvent.objects.get(tenant=alice.tenant, action="api_key.rotated")
    assert (event.actor_kind, event.object_id) == ("command", alice.key.prefix)
    assert event.before
    assert event.before["prefix"] == alice.key.prefix
    assert event.after
    assert event.after["prefix"] == successor.key.prefix
    assert event.after["overlap_ends_at"]
    assert successor.text[18:] not in str(event.after)


def test_a_rotation_that_fails_is_no_event(alice):
    alice.key.revoke()
    with pytest.raises(NotRotatable):
        rotate(alice)
    assert not AccessEvent.objects.filter(tenant=alice.tenant).exists()


def test_other_keys_of_the_tenant_go_on(alice, acme):
    other = new_caller(acme)
    other.record()
    rotate(alice, timedelta(0))
    assert other.record()
